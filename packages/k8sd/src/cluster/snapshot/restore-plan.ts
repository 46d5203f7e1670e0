import type { Bare, Json, Plan } from "../../operations/plan.ts";
import { type BootstrapInput, type BootstrapStep, planBootstrap } from "../bootstrap/plan.ts";
import type { RecoveryRecord } from "../ledger-records.ts";
import { datastoreUsers, type ServicesSteps, startServices } from "../recover/plan.ts";

/** What the steps of a restore know of it, wherever it takes place. The key is the operation's secret. */
export type RestoreFacts = {
  readonly path: string;
  /** The new datastore begins there: above all that clients of the old one can have seen. */
  readonly revision: number;
  readonly epoch: number;
  readonly recovery: Pick<RecoveryRecord, keyof RecoveryRecord>;
  readonly podSubnetIndex: number;
};

export interface RestoreInput {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly before: BootstrapInput;
  readonly after: BootstrapInput;
  readonly facts: RestoreFacts;
  /** Where the data is kept that is on this node now. */
  readonly backup: string;
}

export type RestoreStep =
  | ServicesSteps
  | Bare<"set-aside">
  | Bare<"start-empty">
  | Bare<"load-snapshot">
  | Bare<"take-over">
  | Bare<"begin-epoch">;

/**
 * A control plane gets the data of a snapshot in place of its own. Until the epoch begins the old data lies aside untouched,
 * and all of it can be taken back; from then on it is a backup and the next start goes on.
 */
export function planRestore(input: RestoreInput, result: Json, requestId: string): Plan<RestoreStep> {
  const users = datastoreUsers(input.before);
  const engine = input.before.view.datastore.engine === "etcd" ? "etcd" : "k8s-datastore";
  const steps: RestoreStep[] = [
    { kind: "stop-services", title: "Stop the datastore", args: { services: [engine, ...users] } },
    { kind: "set-aside", title: "Set the old data aside", args: null },
    { kind: "start-empty", title: `Start an empty ${engine}`, args: null },
    { kind: "load-snapshot", title: "Load the snapshot and compare", args: null },
    { kind: "take-over", title: `Record epoch ${input.facts.epoch}`, args: null },
    { kind: "begin-epoch", title: `Begin epoch ${input.facts.epoch}`, args: null },
    ...startServices(users),
    { kind: "resume-member", title: "Take up work again", args: null },
  ];
  return {
    operation: "restore",
    requestId,
    input,
    steps,
    commit: steps.findIndex(({ kind }) => kind === "begin-epoch"),
    result,
  };
}

interface WithFacts<K extends string> {
  readonly kind: K;
  readonly title: string;
  readonly args: { readonly facts: RestoreFacts };
}

/** What a bootstrap does else when the cluster is there already, in a snapshot. */
export type RebuildStep = WithFacts<"bring-certificates"> | WithFacts<"make-datastore"> | WithFacts<"bring-data">;

/**
 * A new machine becomes the one control plane of a cluster that is in a snapshot: a bootstrap whose authorities and data
 * come from there. A leave takes it back as it takes back any other bootstrap.
 */
export function planRebuild(
  input: BootstrapInput,
  facts: RestoreFacts,
  result: Json,
  requestId: string,
): Plan<BootstrapStep | RebuildStep> {
  const args = { facts };
  const plan = planBootstrap(input, requestId);
  const steps = plan.steps.flatMap((step): readonly (BootstrapStep | RebuildStep)[] => {
    switch (step.kind) {
      case "write-certificates":
        return [{ kind: "bring-certificates", title: "Write the snapshot's certificates and new ones", args }];
      case "install-services":
        return [step, { kind: "make-datastore", title: "Make an empty datastore", args }];
      case "record-cluster":
        return [{ kind: "bring-data", title: "Load the snapshot and compare", args }];
      default:
        return [step];
    }
  });
  return { ...plan, steps, commit: steps.length - 1, result };
}
