import type { StandingResponse } from "@k8sd/api-types";
import type { BootstrapInput } from "./bootstrap/plan.ts";
import type { Notice } from "./notices.ts";

type Own = Pick<BootstrapInput, "epoch" | "incarnation" | "declined">;

export type Verdict =
  | "member"
  /** This membership was ended: the node cleans up. */
  | "removed"
  /** The cluster does not know this membership: nobody ended it. */
  | "forgotten"
  /** The cluster's copy is from before the end of the join. */
  | "unfinished"
  /** Who answers is in an epoch that is over, or in one that this node does not follow. */
  | "stale";

/**
 * What an answer of the cluster means for a node that knows itself a member. A cluster that was recovered from an older copy
 * may know less than the node: that it was never in, or that it was removed before it came back.
 */
export function judge({ epoch = 1, incarnation = 1, declined = [] }: Own, answer: StandingResponse): Verdict {
  if (answer.epoch < epoch) return "stale";
  if (answer.recovery !== undefined && declined.includes(answer.recovery)) return "stale";
  const isEarlier = answer.incarnation < incarnation;
  switch (answer.state) {
    case "active":
    case "leaving":
      return "member";
    case "removed":
      return isEarlier ? "forgotten" : "removed";
    case "reserved":
    case "joining":
      return isEarlier ? "forgotten" : "unfinished";
    case "unknown":
      return "forgotten";
  }
}

/** For a person: nothing is undone before that. */
export function forgottenNotice(own: Own, role: "control-plane" | "worker", answer: StandingResponse): Notice {
  const leave = role === "worker" ? "'k8s leave'" : "'k8s leave --force'";
  const remedy = `What runs here goes on. Run ${leave} on this node, then join it again with a new token`;
  if (answer.epoch > (own.epoch ?? 1)) {
    return {
      reason: "RecoveredFromOlderCopy",
      message: `the cluster was recovered (epoch ${answer.epoch}) from a copy of its data that is older than this node's membership. ${remedy}`,
    };
  }
  return { reason: "NotKnown", message: `the cluster has no record of this node. ${remedy}` };
}
