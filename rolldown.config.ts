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

/**
 * What not every node needs is in files beside the first, read when it is used: the mesh, half of the daemon's code, with a
 * second member; PostgreSQL's client and store, a quarter of the datastore's, with such a database (2.8 MB of memory).
 */
const inParts = (name: string, input: string, dir: string) => ({
  input: { [name]: input },
  platform: "node" as const,
  resolve,
  external: ["better-sqlite3"],
  output: {
    dir,
    format: "esm" as const,
    sourcemap: true,
    entryFileNames: "[name].js",
    chunkFileNames: `${name}-[name].js`,
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
  inParts("k8sd", "packages/k8sd/src/main.ts", "packages/k8sd/dist/k8sd"),
  inParts("k8s-datastore", "packages/k8sd/src/datastore/engine/main.ts", "packages/k8sd/dist/k8s-datastore"),
  program("packages/k8sd/src/apiserver-proxy/main.ts", "packages/k8sd/dist/k8s-apiserver-proxy.js"),
]);
