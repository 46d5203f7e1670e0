import type { BootstrapInput } from "../cluster/bootstrap/plan.ts";
import type { ClusterLink } from "../cluster/join/link.ts";
import type { Notices } from "../cluster/notices.ts";
import type { KnownMember } from "../cluster/roster.ts";
import { forgottenNotice, judge } from "../cluster/standing.ts";
import type { Reconciler } from "./loop.ts";

export interface StandingDeps {
  readonly members: () => readonly KnownMember[];
  /** Undefined where there is nobody else to ask. */
  readonly link: () => Promise<Pick<ClusterLink, "standing" | "advance"> | undefined>;
  readonly notices: Pick<Notices, "set">;
  /** The cluster says that this node is out: it begins to clean up. */
  readonly removed: () => Promise<void>;
}

type Self = Pick<BootstrapInput, "nodeId" | "epoch" | "incarnation" | "declined"> & {
  readonly view: Pick<BootstrapInput["view"], "role">;
};

/** Looks into memory: whether this node was seen leaving. */
const lookMs = 500;
/** Without a sign of that. */
const askMs = 10_000;
const condition = "Membership";

/**
 * A node that was taken out learns it, also when it was away meanwhile. Only the answer of a control plane that shows the
 * cluster's certificate counts; one that does not answer changes nothing, and of a cluster that does not know this
 * membership a person hears.
 */
export function createStanding(read: () => Self, deps: StandingDeps): Reconciler {
  let askedAt = Number.NEGATIVE_INFINITY;

  async function ask(signal: AbortSignal): Promise<void> {
    const link = await deps.link();
    if (link === undefined) return;
    const self = read();
    const answer = await link.standing(signal);
    switch (judge(self, answer)) {
      case "removed":
        return deps.removed();
      case "forgotten":
        deps.notices.set(condition, forgottenNotice(self, self.view.role, answer));
        return;
      case "unfinished":
        // It was acknowledged: the cluster hears once more what it has forgotten, as long as it holds the place.
        if (answer.state === "reserved") await link.advance("begin", signal);
        await link.advance("commit", signal);
        return;
      case "member":
        deps.notices.set(condition, undefined);
        return;
      case "stale":
        return;
    }
  }

  return {
    name: "standing",
    reconcile: async (signal) => {
      const leaving = deps.members().some(({ id, state }) => id === read().nodeId && state === "leaving");
      if (!leaving && performance.now() - askedAt < askMs) return lookMs;
      askedAt = performance.now();
      await ask(signal);
      return lookMs;
    },
  };
}
