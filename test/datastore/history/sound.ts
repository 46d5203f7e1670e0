import { expect } from "vitest";
import { eventFaults, revisionFaults, watchFaults } from "./guarantees.ts";
import { violations } from "./linearizable.ts";
import type { History } from "./record.ts";

/** Fewer would say little about what happens together; such a run does not count. */
const leastPerSecond = 200;

/** Where a history breaks what a store promises. */
export function faultsOf({ operations, watches, reference, from }: History): string[] {
  return [
    ...violations(operations).map((each) => `not linearizable: ${JSON.stringify(each)}`),
    ...revisionFaults(operations),
    ...eventFaults(operations, reference, from),
    ...watches.flatMap((watch) => watchFaults(watch, reference)),
  ];
}

export function expectSound(seed: number, history: History): void {
  const answered = history.operations.filter(({ answer }) => answer).length;
  const rate = (answered + history.refused) / history.seconds;
  const open = history.operations.length - answered;
  const figures = `${answered} operations answered in ${history.seconds.toFixed(1)} s (${rate.toFixed(0)}/s), ${history.refused} refused, ${open} without an answer, ${history.reference.length} events, ${history.watches.length} watches, seed ${seed}`;
  console.log(figures);
  expect(rate, `too few operations to count: ${figures}`).toBeGreaterThanOrEqual(leastPerSecond);
  expect(faultsOf(history), figures).toEqual([]);
}
