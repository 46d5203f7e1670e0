import type { Bare, Plan } from "../../operations/plan.ts";
import type { MemberRecord } from "../ledger-records.ts";

/** The member as it was found, and how it shall go. */
export interface RemoveInput {
  readonly member: Pick<MemberRecord, "id" | "name" | "role" | "addresses">;
  readonly force: boolean;
  /** For its Pods to go elsewhere. */
  readonly drainMs: number;
  /** When whoever ordered it gives up; milliseconds since the Unix epoch. */
  readonly until: number;
}

export type RemoveStep =
  | Bare<"mark-leaving">
  | Bare<"drain">
  | Bare<"leave-datastore">
  | Bare<"delete-node">
  | Bare<"forget-member">;

export interface RemoveFrom {
  readonly kubernetes: boolean;
  readonly managedEtcd: boolean;
  /** Without the member etcd has no majority. */
  readonly standsStill: boolean;
}

/**
 * Once the ledger says that the member leaves there is no way back, only on: the step after it can be done by anybody who
 * reads the ledger, and is when the node that ordered it dies. One whose vote etcd needs stays in its list until
 * 'k8s recover', or until the others bear it, and goes then by itself.
 */
export function planRemove(input: RemoveInput, cluster: RemoveFrom, requestId: string): Plan<RemoveStep> {
  const { name, role } = input.member;
  const drains = cluster.kubernetes && !input.force;
  const leavesEtcd = cluster.managedEtcd && role === "control-plane" && !cluster.standsStill;
  const last = cluster.standsStill
    ? "End its membership; etcd loses its majority with it: the cluster stands still until 'k8s recover'"
    : "End its membership";
  const steps: RemoveStep[] = [
    { kind: "mark-leaving", title: `Record that ${name} leaves`, args: null },
    ...(drains ? [{ kind: "drain", title: "Ask its Pods to go elsewhere", args: null } as const] : []),
    ...(leavesEtcd ? [{ kind: "leave-datastore", title: "Take it out of etcd", args: null } as const] : []),
    ...(cluster.kubernetes ? [{ kind: "delete-node", title: "Delete its Kubernetes Node", args: null } as const] : []),
    { kind: "forget-member", title: last, args: null },
  ];
  return {
    operation: "remove",
    requestId,
    input,
    steps,
    commit: 0,
    result: {},
  };
}
