import type { Connections } from "../cluster/connections.ts";
import { withClusterLock } from "../cluster/lock.ts";
import type { TakeAway } from "../cluster/remove/take-away.ts";
import type { KnownMember } from "../cluster/roster.ts";
import { AppError } from "../lib/app-error.ts";
import type { Reconciler } from "./loop.ts";

export interface LeavingDeps {
  readonly connections: Pick<Connections, "datastore">;
  readonly members: () => readonly KnownMember[];
  readonly takeAway: TakeAway;
  readonly now: () => number;
}

/** Looks into memory alone. */
const periodMs = 500;
/** For the Pods of a node that goes by itself, or whose remover is gone. */
const drainMs = 60_000;

/**
 * Finishes what somebody began: members that leave by themselves, whose remover died, or whose join was given up half way.
 * Any control plane but the leaving one does it; the lock makes it one at a time.
 */
export function createLeaving(self: string, deps: LeavingDeps): Reconciler {
  async function takeOut(member: KnownMember, signal: AbortSignal): Promise<void> {
    const context = { signal, progress: () => {} };
    if (!(member.removal?.force ?? false)) await deps.takeAway.drain(member, drainMs, context);
    await deps.takeAway.leaveDatastore(member, context);
    await deps.takeAway.deleteNode(member, context);
    await deps.takeAway.forget(member, context);
  }

  return {
    name: "leaving",
    reconcile: async (signal) => {
      const due = deps
        .members()
        .filter(({ id, state, removal }) => id !== self && state === "leaving" && (removal?.until ?? 0) <= deps.now());
      for (const member of due) {
        try {
          await withClusterLock(
            await deps.connections.datastore(),
            { name: `leaving/${member.id}`, signal, waitMs: 0 },
            (held) => takeOut(member, held),
          );
        } catch (error) {
          // Another one is at it.
          if (!(error instanceof AppError && error.kind === "conflict" && error.retryable)) throw error;
        }
      }
      return periodMs;
    },
  };
}
