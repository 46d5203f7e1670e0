import type { Json, Plan } from "../../operations/plan.ts";
import { type BootstrapInput, serviceStages } from "../bootstrap/plan.ts";
import type { RecoveryRecord } from "../ledger-records.ts";

export interface RecoverInput {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly before: BootstrapInput;
  readonly after: BootstrapInput;
  readonly epoch: number;
  readonly recovery: RecoveryRecord;
  /** Where the data is kept that is on this node now. */
  readonly backup: string;
}

type Services = { readonly services: readonly string[] };

export type RecoverStep =
  | { readonly kind: "stop-services"; readonly title: string; readonly args: Services }
  | { readonly kind: "copy-data"; readonly title: string; readonly args: null }
  | { readonly kind: "replay-log"; readonly title: string; readonly args: null }
  | { readonly kind: "rebuild-data"; readonly title: string; readonly args: null }
  | { readonly kind: "begin-epoch"; readonly title: string; readonly args: null }
  | { readonly kind: "put-in-place"; readonly title: string; readonly args: null }
  | { readonly kind: "start-datastore"; readonly title: string; readonly args: null }
  | { readonly kind: "record-epoch"; readonly title: string; readonly args: null }
  | { readonly kind: "start-services"; readonly title: string; readonly args: Services }
  | { readonly kind: "resume-member"; readonly title: string; readonly args: null };

/** Services that read the datastore, in start order. What only runs pods goes on. */
export function datastoreUsers(input: BootstrapInput): readonly string[] {
  const users = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
  return serviceStages(input)
    .flat()
    .filter((name) => users.includes(name));
}

/**
 * One control plane begins a new epoch of the cluster with its copy of the data. Until the epoch begins all of it works on
 * another copy and can be taken back; from then on the old data is a backup and the next start goes on.
 */
export function planRecover(input: RecoverInput, result: Json, requestId: string): Plan<RecoverStep> {
  const users = datastoreUsers(input.before);
  const steps: RecoverStep[] = [
    { kind: "stop-services", title: "Stop the datastore", args: { services: ["etcd", ...users] } },
    { kind: "copy-data", title: "Copy the data", args: null },
    { kind: "replay-log", title: "Bring the copy up to the end of its log", args: null },
    { kind: "rebuild-data", title: "Make it the data of a cluster of one", args: null },
    { kind: "begin-epoch", title: `Begin epoch ${input.epoch}`, args: null },
    { kind: "put-in-place", title: "Keep the old data as a backup, put the new in its place", args: null },
    { kind: "start-datastore", title: "Start etcd", args: null },
    { kind: "record-epoch", title: "Record the epoch", args: null },
    ...(users.length === 0
      ? []
      : [{ kind: "start-services", title: `Start ${users.join(", ")}`, args: { services: users } } as const]),
    { kind: "resume-member", title: "Take up work again", args: null },
  ];
  return {
    operation: "recover",
    requestId,
    // Plain data; its type is wider than Json only by optional keys.
    input: input as unknown as Json,
    steps,
    commit: steps.findIndex(({ kind }) => kind === "begin-epoch"),
    result,
  };
}

export interface RejoinInput {
  readonly nodeId: string;
  readonly clusterId: string;
  /** With the epoch that it comes into, and those whom its etcd asks to be let in. */
  readonly after: BootstrapInput;
  readonly backup: string;
}

export type RejoinStep =
  | { readonly kind: "yield"; readonly title: string; readonly args: null }
  | { readonly kind: "stop-services"; readonly title: string; readonly args: Services }
  | { readonly kind: "set-aside"; readonly title: string; readonly args: null }
  | { readonly kind: "join-datastore"; readonly title: string; readonly args: null }
  | { readonly kind: "start-services"; readonly title: string; readonly args: Services }
  | { readonly kind: "resume-member"; readonly title: string; readonly args: null };

/**
 * A control plane takes over the data of a cluster that was recovered without it. The first step is the point of no
 * return: what it has is of an epoch that is over and must not be served again.
 */
export function planRejoin(input: RejoinInput, requestId: string): Plan<RejoinStep> {
  const users = datastoreUsers(input.after);
  const steps: RejoinStep[] = [
    { kind: "yield", title: `Yield to epoch ${input.after.epoch ?? 1}`, args: null },
    { kind: "stop-services", title: "Stop the datastore", args: { services: ["etcd", ...users] } },
    { kind: "set-aside", title: "Set the old data aside", args: null },
    { kind: "join-datastore", title: "Join the datastore", args: null },
    ...(users.length === 0
      ? []
      : [{ kind: "start-services", title: `Start ${users.join(", ")}`, args: { services: users } } as const]),
    { kind: "resume-member", title: "Take up work again", args: null },
  ];
  return { operation: "rejoin", requestId, input: input as unknown as Json, steps, commit: 0, result: {} };
}
