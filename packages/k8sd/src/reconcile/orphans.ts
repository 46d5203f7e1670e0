import type { Orphans } from "../cluster/orphans/orphans.ts";
import type { Reconciler } from "./loop.ts";

/** Nobody waits for it: what it finds is what something else could not finish. */
const periodMs = 20_000;

/** What is derived from the ledger and belongs to nobody in it goes. */
export function createOrphansReconciler(orphans: Orphans): Reconciler {
  return {
    name: "orphans",
    reconcile: async (signal) => {
      await orphans.round(signal);
      return periodMs;
    },
  };
}
