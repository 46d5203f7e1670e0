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

/** How much a history has to say. */
export interface Pace {
  readonly answered: number;
  readonly seconds: number;
}

export function expectSound(seed: number, history: History): Pace {
  const answered = history.operations.filter(({ answer }) => answer).length;
  const open = history.operations.length - answered;
  const pace = { answered: answered + history.refused, seconds: history.seconds };
  const figures = `${paceText(pace)}, ${history.refused} refused, ${open} without an answer, ${history.reference.length} events, ${history.watches.length} watches, seed ${seed}`;
  console.log(figures);
  expect(faultsOf(history), figures).toEqual([]);
  return pace;
}

export const counts = ({ answered, seconds }: Pace): boolean => answered / seconds >= leastPerSecond;

/** Of all the histories of a run. */
export function expectPace(pace: Pace): void {
  expect(pace.answered / pace.seconds, `too few to count: ${paceText(pace)}`).toBeGreaterThanOrEqual(leastPerSecond);
}

export const paceText = ({ answered, seconds }: Pace): string =>
  `${answered} operations answered in ${seconds.toFixed(1)} s (${(answered / seconds).toFixed(0)}/s)`;
