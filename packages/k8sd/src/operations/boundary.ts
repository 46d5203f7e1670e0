import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { exists } from "../lib/read-file.ts";
import { writeFileAtomic } from "../lib/write-file.ts";

export type BoundaryMoment = "before-run" | "in-run" | "after-run" | "before-undo" | "in-undo" | "after-undo";

/** Called at each boundary of each step; what it throws is the step's failure. */
export type BoundaryHook = (operation: string, step: number, moment: BoundaryMoment) => Promise<void>;

/**
 * For fault tests, in a directory they name: the file `hold-<step>-<moment>` stops the operation there until it is removed
 * (`held-<step>-<moment>` tells that it stands), `fail-<step>-<moment>` makes the step fail there.
 */
export function createFaultPoints(directory: string): BoundaryHook {
  const isThere = (name: string): Promise<boolean> => exists(join(directory, name));
  return async (_operation, step, moment) => {
    const point = `${step}-${moment}`;
    if (await isThere(`fail-${point}`)) throw new Error(`fault injected at ${point}`);
    if (!(await isThere(`hold-${point}`))) return;
    await writeFileAtomic({ path: join(directory, `held-${point}`), content: "", mode: 0o600 });
    while (await isThere(`hold-${point}`)) await sleep(20);
  };
}
