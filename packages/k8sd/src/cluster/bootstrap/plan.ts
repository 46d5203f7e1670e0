import type { NodeView } from "../../components/component.ts";
import type { Plan } from "../../operations/plan.ts";
import type { ClusterConfig } from "../config/types.ts";
import type { RecoveryRecord } from "../ledger-records.ts";

/** What all steps of a bootstrap share. Keys and certificates that the user gave are the operation's secret, not here. */
export interface BootstrapInput {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly view: NodeView;
  readonly config: ClusterConfig;
  readonly extraSans: readonly string[];
  /** False: only the agent and its datastore run; the Kubernetes programs are left out. */
  readonly kubernetes: boolean;
  readonly systemTuning: boolean;
  /** Of the cluster, as this node's copy of the data has it; absent: 1. */
  readonly epoch?: number;
  /** How that epoch began; absent in the first. */
  readonly recovery?: RecoveryRecord;
  /** Which of this node's times in the cluster this is; absent: 1. */
  readonly incarnation?: number;
  /** Ids of recoveries that this node does not follow, because its own side worked all the while. */
  readonly declined?: readonly string[];
  /** Of a node that joined: how it reaches the cluster without its datastore. */
  readonly via?: {
    /** SHA-256 of the cluster's certificate (DER), lower case hex. */
    readonly fingerprint: string;
    /** `ip:port` of control planes, as they were known then. */
    readonly addresses: readonly string[];
    /** `ip:port` of API servers, likewise. */
    readonly apiServers: readonly string[];
  };
}

export type BootstrapStep =
  | { readonly kind: "check-host"; readonly title: string; readonly args: { readonly services: readonly string[] } }
  | {
      readonly kind: "create-directories";
      readonly title: string;
      readonly args: { readonly services: readonly string[] };
    }
  | { readonly kind: "tune-system"; readonly title: string; readonly args: null }
  | { readonly kind: "write-certificates"; readonly title: string; readonly args: null }
  | {
      readonly kind: "install-services";
      readonly title: string;
      readonly args: { readonly services: readonly string[] };
    }
  | { readonly kind: "start-services"; readonly title: string; readonly args: { readonly services: readonly string[] } }
  | { readonly kind: "await-services"; readonly title: string; readonly args: { readonly services: readonly string[] } }
  | { readonly kind: "import-images"; readonly title: string; readonly args: null }
  | { readonly kind: "record-cluster"; readonly title: string; readonly args: null }
  | { readonly kind: "open-listener"; readonly title: string; readonly args: { readonly address: string } }
  | { readonly kind: "commit-node"; readonly title: string; readonly args: null };

/** What the user asked for, as the end of "cannot …". */
export function purposeOf({ via }: Pick<BootstrapInput, "via">): string {
  return via === undefined ? "bootstrap this node" : "join with this node";
}

/** The service that holds the cluster's data on this node; undefined when it is somebody else's. */
export function datastoreService(view: NodeView): string | undefined {
  switch (view.datastore.engine) {
    case "sqlite":
    case "postgres":
      return "k8s-datastore";
    case "etcd":
      return "etcd";
    case "external":
      return undefined;
  }
}

/** Services of a node by the stage of its start: each stage needs the one before it to answer. */
export function serviceStages(input: BootstrapInput): readonly (readonly string[])[] {
  const kubeProxy = input.view.network.kubeProxyEnabled ? ["kube-proxy"] : [];
  if (input.view.role === "worker") {
    return input.kubernetes
      ? [
          ["containerd", "k8s-apiserver-proxy"],
          ["kubelet", ...kubeProxy],
        ]
      : [];
  }
  const datastore = datastoreService(input.view);
  const stages = [
    datastore === undefined ? [] : [datastore],
    ...(input.kubernetes
      ? [
          // containerd needs nobody; it comes up while kube-apiserver loads.
          ["kube-apiserver", "containerd"],
          ["kube-controller-manager", "kube-scheduler", "kubelet", ...kubeProxy],
        ]
      : []),
  ];
  return stages.filter((stage) => stage.length > 0);
}

/**
 * The first node of a new cluster. Nothing before the last step makes the node a member, and the last step is one
 * transaction: a crash at any point leaves a node that is bootstrapped or one that is clean after the next start.
 */
export function planBootstrap(input: BootstrapInput, requestId: string): Plan<BootstrapStep> {
  const stages = serviceStages(input);
  const services = stages.flat();
  const [first = [], ...later] = stages;
  const ownDatastore = datastoreService(input.view) !== undefined;
  const bringUp = (stage: readonly string[]): BootstrapStep[] => [
    { kind: "start-services", title: `Start ${stage.join(", ")}`, args: { services: stage } },
    { kind: "await-services", title: `Wait for ${stage.join(", ")}`, args: { services: stage } },
  ];
  const record: BootstrapStep = { kind: "record-cluster", title: "Record the cluster", args: null };
  const steps: BootstrapStep[] = [
    { kind: "check-host", title: "Check the host", args: { services } },
    { kind: "create-directories", title: "Create directories", args: { services } },
    ...(input.systemTuning ? [{ kind: "tune-system", title: "Tune the system", args: null } as const] : []),
    { kind: "write-certificates", title: "Write certificates and kubeconfigs", args: null },
    { kind: "install-services", title: "Install services", args: { services } },
    ...(ownDatastore ? [...bringUp(first), record, ...later.flatMap(bringUp)] : [record, ...stages.flatMap(bringUp)]),
    ...(input.kubernetes ? [{ kind: "import-images", title: "Import images", args: null } as const] : []),
    { kind: "open-listener", title: "Open the cluster listener", args: { address: input.view.k8sdAddress } },
    { kind: "commit-node", title: "Make the node a member", args: null },
  ];
  return {
    operation: "bootstrap",
    requestId,
    input,
    steps,
    commit: steps.length - 1,
    result: { name: input.view.name, address: input.view.k8sdAddress },
  };
}
