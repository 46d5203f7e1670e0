import type { Bare, Json, Plan, Step } from "../../operations/plan.ts";
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

interface ServicesStep<K extends string> extends Step {
  readonly kind: K;
  readonly args: { readonly services: readonly string[] };
}

/** Those of a recovery, a rejoin and a restore. */
export type ServicesSteps = ServicesStep<"stop-services"> | ServicesStep<"start-services"> | Bare<"resume-member">;

export type RecoverStep =
  | ServicesSteps
  | Bare<"copy-data">
  | Bare<"replay-log">
  | Bare<"rebuild-data">
  | Bare<"begin-epoch">
  | Bare<"put-in-place">
  | Bare<"start-datastore">
  | Bare<"record-epoch">;

/** Services that read the datastore, in start order. What only runs pods goes on. */
export function datastoreUsers(input: BootstrapInput): readonly string[] {
  const users = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
  return serviceStages(input)
    .flat()
    .filter((name) => users.includes(name));
}

/** None where the node runs without Kubernetes. */
export function startServices(users: readonly string[]): readonly ServicesStep<"start-services">[] {
  if (users.length === 0) return [];
  return [{ kind: "start-services", title: `Start ${users.join(", ")}`, args: { services: users } }];
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
    ...startServices(users),
    { kind: "resume-member", title: "Take up work again", args: null },
  ];
  return {
    operation: "recover",
    requestId,
    input,
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

export type RejoinStep = ServicesSteps | Bare<"yield"> | Bare<"set-aside"> | Bare<"join-datastore">;

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
    ...startServices(users),
    { kind: "resume-member", title: "Take up work again", args: null },
  ];
  return { operation: "rejoin", requestId, input, steps, commit: 0, result: {} };
}
