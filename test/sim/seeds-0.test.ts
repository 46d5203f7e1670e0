import { expect, test } from "vitest";
import { runSeeds, seedsOf } from "./run-seeds.ts";

test("clusters under loss, delay, partitions, pauses and restarts keep every promise (part 0 of 2)", () => {
  expect(runSeeds(seedsOf(0, 2))).toEqual([]);
});
