import { type FollowEpochDeps, followEpoch } from "../cluster/recover/follow-epoch.ts";
import type { Reconciler } from "./loop.ts";

/** Who comes back after a recovery serves its old data no longer than this. */
const periodMs = 5_000;

/** Runs beside the member, not in it: what it starts stops everything else that works with the datastore. */
export function createEpochFollower(deps: FollowEpochDeps): Reconciler {
  return {
    name: "epoch",
    reconcile: async (signal) => {
      await followEpoch(deps, signal);
      return periodMs;
    },
  };
}
