import type { ClusterLink } from "../cluster/join/link.ts";
import type { Reconciler } from "./loop.ts";

export interface StandingDeps {
  /** Undefined where there is nobody else to ask. */
  readonly link: () => Promise<ClusterLink | undefined>;
  /** The cluster says that this node is out: it cleans up. */
  readonly removed: () => void;
}

const periodMs = 10_000;
const aloneMs = 60_000;

/**
 * A node that was taken out while it was away learns it when it is back. Only the answer of a control plane that shows the
 * cluster's certificate counts; one that does not answer, or does not know, changes nothing.
 */
export function createStanding(deps: StandingDeps): Reconciler {
  return {
    name: "standing",
    reconcile: async (signal) => {
      const link = await deps.link();
      if (link === undefined) return aloneMs;
      if ((await link.standing(signal)) === "removed") deps.removed();
      return periodMs;
    },
  };
}
