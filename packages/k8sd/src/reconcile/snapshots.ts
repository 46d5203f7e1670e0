import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { type ScheduleDeps, untilDue, whoseTurn } from "../cluster/snapshot/schedule.ts";
import type { SnapshotSettings } from "../cluster/snapshot/settings.ts";
import { errorText, isKind } from "../lib/app-error.ts";
import { orAborted } from "../lib/wait.ts";
import type { Reconciler } from "./loop.ts";

export interface SnapshotsReconcilerDeps {
  readonly snapshots: {
    settings(): Promise<SnapshotSettings>;
    save(
      order: { readonly directory: string; readonly store: boolean; readonly keep: number; readonly timeoutMs: number },
      options: { readonly requestId: string },
    ): { readonly result: Promise<{ readonly path: string }> };
  };
  readonly members: ScheduleDeps["members"];
  readonly log: Logger;
  readonly now: () => number;
}

/** A schedule that was changed counts within this. */
const lookMs = 15_000;

/** Makes the snapshots of the schedule when it is this node's turn. */
export function createSnapshotsReconciler(nodeId: string, deps: SnapshotsReconcilerDeps): Reconciler {
  const { snapshots, log, now } = deps;
  return {
    name: "snapshots",
    reconcile: async (signal) => {
      const settings = await snapshots.settings();
      const schedule = await settings.schedule(signal);
      if (schedule === undefined || whoseTurn(schedule, deps.members()) !== nodeId) return lookMs;
      const taken = await settings.taken(signal);
      const wait = untilDue(schedule, taken, now());
      if (wait > 0) return Math.min(wait, lookMs);
      const at = now();
      try {
        const { directory, keep, store = false } = schedule;
        const run = snapshots.save({ directory, store, keep, timeoutMs: 0 }, { requestId: randomUUID() });
        const { path } = await orAborted(run.result, signal);
        await settings.setTaken({ at, path }, signal);
        log.info({ path }, "Saved a snapshot");
      } catch (error) {
        signal.throwIfAborted();
        // Another operation is under way: that is no failure, and over soon.
        if (isKind(error, "conflict") && error.retryable) return lookMs;
        log.error({ error: errorText(error) }, "Cannot save a snapshot of the schedule");
        await settings.setTaken({ ...taken, failedAt: at, error: errorText(error) }, signal);
      }
      return lookMs;
    },
  };
}
