import { readFileSync, writeFileSync } from "node:fs";

const file = new URL("kept-seeds.json", import.meta.url);

/** Seeds that once failed: they run first, always. */
export function keptSeeds(): readonly number[] {
  return JSON.parse(readFileSync(file, "utf8")) as number[];
}

export function keepSeed(seed: number): void {
  const seeds = [...new Set([...keptSeeds(), seed])].sort((a, b) => a - b);
  writeFileSync(file, `${JSON.stringify(seeds)}\n`);
}
