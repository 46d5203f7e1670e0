import { keepSeed, keptSeeds } from "./kept-seeds.ts";
import { runScenario } from "./scenario.ts";

/** In a plain run: two minutes on two cores. `pnpm test:sim --seeds N` asks for fewer or more. */
const plainSeeds = 1_000;

/** Files run side by side, so each runs its part of the seeds. */
export function seedsOf(part: number, parts: number): readonly number[] {
  const count = Number(process.env.K8SD_SEEDS ?? plainSeeds);
  if (!Number.isSafeInteger(count) || count < 0) throw new Error("cannot simulate: K8SD_SEEDS is not a count");
  const seeds = [...new Set([...keptSeeds(), ...Array.from({ length: count }, (_, seed) => seed)])];
  return seeds.filter((_, index) => index % parts === part);
}

/** @returns what went wrong, by seed; empty when all went well */
export function runSeeds(seeds: readonly number[]): readonly string[] {
  return seeds.flatMap((seed) => {
    const { violations, nodes } = runScenario(seed);
    if (violations.length === 0) return [];
    keepSeed(seed);
    return [`seed ${seed} (${nodes} nodes):\n  ${violations.join("\n  ")}`];
  });
}
