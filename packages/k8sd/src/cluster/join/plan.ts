import type { Plan } from "../../operations/plan.ts";
import { type BootstrapInput, type BootstrapStep, datastoreService, serviceStages } from "../bootstrap/plan.ts";

export interface JoinInput extends BootstrapInput {
  readonly via: NonNullable<BootstrapInput["via"]>;
  /** How far the cluster's clock is ahead of this node's. */
  readonly skewMs: number;
}

export type JoinStep =
  | Exclude<BootstrapStep, { readonly kind: "record-cluster" | "commit-node" }>
  | { readonly kind: "announce"; readonly title: string; readonly args: null }
  | { readonly kind: "join-datastore"; readonly title: string; readonly args: { readonly service: string } }
  | { readonly kind: "admit"; readonly title: string; readonly args: null };

/**
 * A node of a cluster that is there. The place was reserved before there was a plan, because the plan is made from the
 * answer. The first step is the last to be undone: it gives the place back when nothing of the node is left.
 *
 * The last step is the point of no return on both sides: the cluster makes the node a member, then one transaction here
 * does. After a crash between the two the cluster is asked again.
 */
export function planJoin(input: JoinInput, requestId: string): Plan<JoinStep> {
  const { view } = input;
  const stages = serviceStages(input);
  const services = stages.flat();
  const store = datastoreService(view);
  // A server over a database that all use begins as every other service does.
  const joinsStore = view.role === "control-plane" && store !== undefined && view.datastore.engine !== "postgres";
  const bringUp = (stage: readonly string[]): JoinStep[] => [
    { kind: "start-services", title: `Start ${stage.join(", ")}`, args: { services: stage } },
    { kind: "await-services", title: `Wait for ${stage.join(", ")}`, args: { services: stage } },
  ];
  const later = joinsStore ? stages.slice(1) : stages;
  const steps: JoinStep[] = [
    { kind: "announce", title: "Take the reserved place", args: null },
    { kind: "check-host", title: "Check the host", args: { services } },
    { kind: "create-directories", title: "Create directories", args: { services } },
    ...(input.systemTuning ? [{ kind: "tune-system", title: "Tune the system", args: null } as const] : []),
    { kind: "write-certificates", title: "Write certificates and kubeconfigs", args: null },
    { kind: "install-services", title: "Install services", args: { services } },
    ...(joinsStore
      ? [
          { kind: "join-datastore", title: "Join the datastore", args: { service: store } } as const,
          { kind: "await-services", title: `Wait for ${store}`, args: { services: [store] } } as const,
        ]
      : []),
    ...later.flatMap(bringUp),
    ...(input.kubernetes ? [{ kind: "import-images", title: "Import images", args: null } as const] : []),
    { kind: "open-listener", title: "Open the cluster listener", args: { address: view.k8sdAddress } },
    { kind: "admit", title: "Become a member", args: null },
  ];
  return {
    operation: "join",
    requestId,
    input,
    steps,
    commit: steps.length - 1,
    commitsElsewhere: true,
    result: {},
  };
}
