import type { RemoveLongDead } from "../cluster/long-dead/remove-long-dead.ts";
import type { Reconciler } from "./loop.ts";

/** Looks into memory unless somebody is dead. */
const periodMs = 5_000;

/** Members that have been dead for as long as the cluster's configuration bears it go. */
export function createLongDead(self: string, longDead: Pick<RemoveLongDead, "round">): Reconciler {
  return {
    name: "long-dead",
    reconcile: async (signal) => {
      await longDead.round(self, signal);
      return periodMs;
    },
  };
}
