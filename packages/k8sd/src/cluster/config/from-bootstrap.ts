import type { BootstrapConfig, ControlPlaneJoinConfig, WorkerJoinConfig } from "@k8sd/api-types";
import { defined } from "./defaults.ts";
import { nodeProblems } from "./node-config.ts";
import { type Problem, problem, throwProblems } from "./problems.ts";
import { type ClusterConfig, datastoreTypes, type NodeConfig, nodeServices } from "./types.ts";
import { fromUserFacing } from "./user-facing.ts";

/** What `k8s bootstrap --file` says, apart into the cluster's configuration and this node's. Defaults are not applied yet. */
export function fromBootstrap(bootstrap: BootstrapConfig): { cluster: ClusterConfig; node: NodeConfig } {
  throwProblems(datastoreProblems(bootstrap));
  const user = fromUserFacing(bootstrap["cluster-config"] ?? {});
  const taints = bootstrap["control-plane-taints"];
  const cluster: ClusterConfig = {
    ...user,
    certificates: defined({
      "ca-crt": bootstrap["ca-crt"],
      "ca-key": bootstrap["ca-key"],
      "client-ca-crt": bootstrap["client-ca-crt"],
      "client-ca-key": bootstrap["client-ca-key"],
      "front-proxy-ca-crt": bootstrap["front-proxy-ca-crt"],
      "front-proxy-ca-key": bootstrap["front-proxy-ca-key"],
      "service-account-key": bootstrap["service-account-key"],
      "apiserver-to-kubelet-client-crt": bootstrap["apiserver-kubelet-client-crt"],
      "apiserver-to-kubelet-client-key": bootstrap["apiserver-kubelet-client-key"],
      "admin-client-crt": bootstrap["admin-client-crt"],
      "admin-client-key": bootstrap["admin-client-key"],
    }),
    datastore: defined({
      type: bootstrap["datastore-type"] === "" ? undefined : bootstrap["datastore-type"],
      "external-servers": bootstrap["datastore-servers"],
      "external-ca-crt": bootstrap["datastore-ca-crt"],
      "external-client-crt": bootstrap["datastore-client-crt"],
      "external-client-key": bootstrap["datastore-client-key"],
      "etcd-ca-crt": bootstrap["etcd-ca-crt"],
      "etcd-ca-key": bootstrap["etcd-ca-key"],
      "etcd-apiserver-client-crt": bootstrap["etcd-apiserver-client-crt"],
      "etcd-apiserver-client-key": bootstrap["etcd-apiserver-client-key"],
      "etcd-port": bootstrap["etcd-port"],
      "etcd-peer-port": bootstrap["etcd-peer-port"],
    }),
    apiserver: defined({
      port: bootstrap["secure-port"],
      "authorization-mode": bootstrap["disable-rbac"] ? "AlwaysAllow" : undefined,
    }),
    kubelet: { ...user.kubelet, ...(taints?.length ? { "control-plane-taints": taints } : {}) },
    network: {
      ...user.network,
      ...defined({ "pod-cidr": bootstrap["pod-cidr"], "service-cidr": bootstrap["service-cidr"] }),
    },
  };
  const node = toNodeConfig(bootstrap);
  throwProblems(nodeProblems(node));
  return { cluster, node };
}

/** Leaves of this node only; the cluster's own certificates are stored in its configuration. */
const nodeCertificates = [
  "etcd-server",
  "etcd-peer",
  "front-proxy-client",
  "kube-proxy-client",
  "kube-scheduler-client",
  "kube-controller-manager-client",
  "apiserver",
  "kubelet",
  "kubelet-client",
] as const;

/** The part of a configuration that is about one node, whichever way it becomes one. */
export type NodePart = ControlPlaneJoinConfig & WorkerJoinConfig;

function toNodeConfig(bootstrap: NodePart): NodeConfig {
  const pairs = nodeCertificates.flatMap((name) => [`${name}-crt`, `${name}-key`] as const);
  const args = Object.fromEntries(nodeServices.map((service) => [service, bootstrap[`extra-node-${service}-args`]]));
  return {
    extraSans: bootstrap["extra-sans"] ?? [],
    disableSystemTuning: bootstrap["disable-system-tuning"] ?? false,
    containerdBaseDir: bootstrap["containerd-base-dir"] || undefined,
    extraFiles: bootstrap["extra-node-config-files"] ?? {},
    extraArgs: defined(args),
    containerdConfig: bootstrap["extra-node-containerd-config"] ?? {},
    certificates: Object.fromEntries(
      pairs.flatMap((key) => (bootstrap[key] === undefined ? [] : [[key, bootstrap[key]]])),
    ),
  };
}

/** What a node that joins says of itself. */
export function fromJoin(config: NodePart): NodeConfig {
  const node = toNodeConfig(config);
  throwProblems(nodeProblems(node));
  return node;
}

/** Which keys go together with which engine. Ports of etcd are welcome for `sqlite`, which can move to etcd later. */
function datastoreProblems(bootstrap: BootstrapConfig): readonly Problem[] {
  const type = bootstrap["datastore-type"] || "sqlite";
  const quoted = JSON.stringify(type);
  if (!(datastoreTypes as readonly string[]).includes(type)) {
    const remedy = `Use one of ${datastoreTypes.join(", ")}.`;
    return [problem("datastore-type", `unknown datastore type specified in bootstrap config ${quoted}`, remedy)];
  }
  if (type === "external") {
    const servers = bootstrap["datastore-servers"]?.length
      ? []
      : [
          problem(
            "datastore-servers",
            "datastore type is external but no datastore servers were set",
            "List the client URLs of the etcd cluster in datastore-servers.",
          ),
        ];
    const ports = (["etcd-peer-port", "etcd-port"] as const)
      .filter((key) => bootstrap[key] !== undefined)
      .map((key) =>
        problem(key, `${key} needs datastore-type to be etcd`, `Remove ${key} or set datastore-type: etcd.`),
      );
    return [...servers, ...ports];
  }
  return (["datastore-servers", "datastore-ca-crt", "datastore-client-crt", "datastore-client-key"] as const)
    .filter((key) => bootstrap[key]?.length)
    .map((key) =>
      problem(
        key,
        `${key} needs datastore-type to be external, not ${quoted}`,
        `Remove ${key} or set datastore-type: external.`,
      ),
    );
}
