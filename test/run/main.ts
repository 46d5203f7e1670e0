import { execa } from "execa";
import { stage } from "../stage.ts";
import { add, noTests } from "./counts.ts";
import { phase } from "./phase.ts";
import { type Tier, tiers } from "./tiers.ts";
import { runTier } from "./vitest.ts";

/** `npm test`: every tier a contributor needs. `run/main.ts TIER [vitest's own arguments…]`: one tier, or a part of it. */
const [wanted, ...rest] = process.argv.slice(2);
const { seeds, filters } = takeSeeds(rest);
const chosen = wanted === undefined ? tiers.filter((tier) => tier.main) : tiers.filter((tier) => tier.name === wanted);
if (chosen.length === 0) {
  console.error(
    `cannot run ${wanted}: there is no such tier; choose one of ${tiers.map((tier) => tier.name).join(", ")}`,
  );
  process.exit(2);
}

const run = (command: string, ...args: string[]) =>
  execa(`node_modules/.bin/${command}`, args, { stdio: ["ignore", "inherit", "inherit"] });

function takeSeeds(args: readonly string[]): { seeds: string | undefined; filters: readonly string[] } {
  const at = args.indexOf("--seeds");
  return at < 0 ? { seeds: undefined, filters: args } : { seeds: args[at + 1], filters: args.toSpliced(at, 2) };
}

function filtersOf({ beyond = [] }: Tier): readonly string[] {
  return wanted === undefined ? beyond.flatMap((file) => ["--exclude", file]) : filters;
}

let counts = noTests;
try {
  if (wanted === undefined) {
    await phase("Format, lint and layer rules", () => run("biome", "check", "."));
    await phase("Types", () => run("tsc", "-b"));
    await phase("Unused files, exports and dependencies", () => run("knip"));
    await phase("Reference pages", () => run("node", "-C", "source", "docs/generate.ts", "--check"));
  }
  const env: Record<string, string> = {
    ...(wanted === undefined ? { K8SD_FAULTS: "main" } : {}),
    ...(seeds === undefined ? {} : { K8SD_SEEDS: seeds }),
  };
  if (chosen.some((tier) => tier.needsHosts)) {
    const staged = await phase("Programs for the test hosts", () => stage({ kubernetes: true }));
    Object.assign(env, staged.env);
  }
  for (const tier of chosen) {
    counts = add(counts, await phase(`Tests: ${tier.name}`, () => runTier(tier, filtersOf(tier), env)));
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  counts = add(counts, { ...noTests, failed: 1 });
}
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed === 0 ? 0 : 1;
