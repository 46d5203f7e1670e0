import { type FollowEpochDeps, followEpoch } from "../cluster/recover/follow-epoch.ts";
import type { Reconciler } from "./loop.ts";

export interface EpochFollowerDeps extends FollowEpochDeps {
  /** What the mesh hears; undefined where it hears nobody. */
  readonly heardEpoch: () => number | undefined;
}

/** Who comes back after a recovery serves its old data no longer than this. */
const periodMs = 5_000;
/** To ask everybody costs a handshake each: seldom while all that is heard is of this node's own epoch. */
const calmPeriodMs = 30_000;

/** Runs beside the member, not in it: what it starts stops everything else that works with the datastore. */
export function createEpochFollower(deps: EpochFollowerDeps): Reconciler {
  return {
    name: "epoch",
    reconcile: async (signal) => {
      await followEpoch(deps, signal);
      const own = deps.member()?.view.epoch ?? 1;
      return deps.heardEpoch() === own ? calmPeriodMs : periodMs;
    },
  };
}
