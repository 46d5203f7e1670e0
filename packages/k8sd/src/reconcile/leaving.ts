import type { Connections } from "../cluster/connections.ts";
import { isTaken, withClusterLock } from "../cluster/lock.ts";
import type { TakeAway } from "../cluster/remove/take-away.ts";
import type { KnownMember } from "../cluster/roster.ts";
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
    const lock = { name: `leaving/${member.id}`, signal, waitMs: 0 };
    await withClusterLock(await deps.connections.datastore(), lock, async (held) => {
      const context = { signal: held, progress: () => {} };
      if (!(member.removal?.force ?? false)) await deps.takeAway.drain(member, drainMs, context);
      await deps.takeAway.leaveDatastore(member, context);
      await deps.takeAway.deleteNode(member, context);
      await deps.takeAway.forget(member, context);
    });
  }

  return {
    name: "leaving",
    reconcile: async (signal) => {
      const due = deps
        .members()
        .filter(({ id, state, removal }) => id !== self && state === "leaving" && (removal?.until ?? 0) <= deps.now());
      // Side by side: one that cannot go now, or whose Pods take their time, keeps no other one in.
      const results = await Promise.allSettled(due.map((member) => takeOut(member, signal)));
      const failed = results.find((result) => result.status === "rejected" && !isTaken(result.reason));
      if (failed?.status === "rejected") throw failed.reason;
      return periodMs;
    },
  };
}
