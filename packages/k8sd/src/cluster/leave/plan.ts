import type { Bare, Plan } from "../../operations/plan.ts";

export interface LeaveInput {
  readonly name: string;
  /** asks: the cluster takes the node out, then it cleans up. tells: it hears of it if it can. knows: it was the cluster's doing. */
  readonly cluster: "asks" | "tells" | "knows";
  /** Without its member etcd has no majority. */
  readonly standsStill?: true;
}

export type LeaveStep =
  | Bare<"tell-cluster">
  | Bare<"await-removal">
  | Bare<"stop-services">
  | Bare<"take-back">
  | Bare<"forget-cluster">;

/**
 * A node goes out of its cluster and is as it was before it came in. Once the cluster knows there is no way back, only on.
 * The node forgets its cluster last, so that a crash before that goes on with the rest.
 */
export function planLeave(input: LeaveInput, requestId: string): Plan<LeaveStep> {
  const cost =
    input.standsStill === undefined
      ? ""
      : "; etcd loses its majority with it: the cluster stands still until 'k8s recover'";
  const steps: LeaveStep[] = [
    ...(input.cluster === "knows"
      ? []
      : [{ kind: "tell-cluster", title: `Tell the cluster that this node leaves${cost}`, args: null } as const]),
    ...(input.cluster === "asks"
      ? [{ kind: "await-removal", title: "Wait until the cluster has taken it out", args: null } as const]
      : []),
    { kind: "stop-services", title: "Stop the services", args: null },
    { kind: "take-back", title: "Remove what the node set up", args: null },
    { kind: "forget-cluster", title: "Forget the cluster", args: null },
  ];
  return {
    operation: "leave",
    requestId,
    input,
    steps,
    commit: 0,
    result: {},
  };
}
