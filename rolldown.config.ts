import { fileURLToPath } from "node:url";
import { defineConfig } from "rolldown";

const resolve = { conditionNames: ["source", "node", "import"] };

/** Bundled, the programs start two to four times faster than from node_modules; better-sqlite3 stays outside for its native file. */
const program = (input: string, file: string) => ({
  input,
  platform: "node" as const,
  resolve,
  external: ["better-sqlite3"],
  output: { file, format: "esm" as const, sourcemap: true, codeSplitting: false },
});

/** The daemon reads the mesh, half of its code, when its cluster has a second member: a file beside the first. */
const daemon = (input: string, dir: string) => ({
  input: { k8sd: input },
  platform: "node" as const,
  resolve,
  external: ["better-sqlite3"],
  output: {
    dir,
    format: "esm" as const,
    sourcemap: true,
    entryFileNames: "[name].js",
    chunkFileNames: "k8sd-[name].js",
  },
});

/**
 * The command line lives for a tenth of a second, most of it the start. As CommonJS it reads of Node's own modules only what
 * it uses; what some commands need alone is in files beside the first, loaded when they run.
 */
export const commandLine = (input: string, dir: string) => ({
  input: { k8s: input },
  platform: "node" as const,
  resolve: {
    ...resolve,
    // commander loads it for subcommands that are programs of their own. We have none, and it takes a tenth of the time.
    alias: { "node:child_process": fileURLToPath(new URL("packages/cli/src/no-child-process.ts", import.meta.url)) },
  },
  output: {
    dir,
    format: "cjs" as const,
    minify: true,
    entryFileNames: "[name].cjs",
    chunkFileNames: "[name].cjs",
  },
});

export default defineConfig([
  commandLine("packages/cli/src/main.ts", "packages/cli/dist/k8s"),
  daemon("packages/k8sd/src/main.ts", "packages/k8sd/dist/k8sd"),
  program("packages/k8sd/src/datastore/engine/main.ts", "packages/k8sd/dist/k8s-datastore.js"),
  program("packages/k8sd/src/apiserver-proxy/main.ts", "packages/k8sd/dist/k8s-apiserver-proxy.js"),
]);
