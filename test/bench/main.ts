import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { benchBootstrap } from "./bootstrap.ts";
import { benchDatastore } from "./datastore.ts";
import { benchMesh } from "./mesh.ts";
import { type Figure, table } from "./result.ts";
import { benchSoak } from "./soak.ts";

/** `pnpm bench NAME [--json FILE]`: figures beside their goals; exit 1 when a goal does not hold. */
const benchmarks: Readonly<Record<string, () => Promise<readonly Figure[]>>> = {
  bootstrap: benchBootstrap,
  datastore: benchDatastore,
  mesh: benchMesh,
  soak: benchSoak,
};

const { positionals, values } = parseArgs({ allowPositionals: true, options: { json: { type: "string" } } });
const benchmark = benchmarks[positionals[0] ?? ""];
if (benchmark === undefined) {
  console.error(`usage: pnpm bench NAME [--json FILE], with one of: ${Object.keys(benchmarks).join(", ")}`);
  process.exit(2);
}
const results = await benchmark();
console.log(table(results));
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify({ results }, undefined, 2)}\n`);
process.exitCode = results.some((result) => result.holds === false) ? 1 : 0;
