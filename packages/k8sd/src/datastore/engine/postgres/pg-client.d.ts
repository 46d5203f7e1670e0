/** The client without the pool beside it, which a bundle cannot hold: its two module formats do not fit together there. */
declare module "pg/lib/client.js" {
  // biome-ignore lint/style/noDefaultExport: it is what the module has
  export { Client as default } from "pg";
}
