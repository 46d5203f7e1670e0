import type { ClusterLink } from "../cluster/join/link.ts";
import type { KnownMember } from "../cluster/roster.ts";
import type { Reconciler } from "./loop.ts";

export interface StandingDeps {
  readonly members: () => readonly KnownMember[];
  /** Undefined where there is nobody else to ask. */
  readonly link: () => Promise<ClusterLink | undefined>;
  /** The cluster says that this node is out: it cleans up. */
  readonly removed: () => void;
}

/** Looks into memory: whether this node was seen leaving. */
const lookMs = 500;
/** Without a sign of that. */
const askMs = 10_000;

/**
 * A node that was taken out learns it, also when it was away meanwhile. Only the answer of a control plane that shows the
 * cluster's certificate counts; one that does not answer, or does not know, changes nothing.
 */
export function createStanding(self: string, deps: StandingDeps): Reconciler {
  let askedAt = Number.NEGATIVE_INFINITY;
  return {
    name: "standing",
    reconcile: async (signal) => {
      const leaving = deps.members().some(({ id, state }) => id === self && state === "leaving");
      if (!leaving && performance.now() - askedAt < askMs) return lookMs;
      askedAt = performance.now();
      const link = await deps.link();
      if ((await link?.standing(signal)) === "removed") deps.removed();
      return lookMs;
    },
  };
}
