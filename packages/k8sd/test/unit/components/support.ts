import type { NodeView } from "../../../src/components/component.ts";
import { createPaths } from "../../../src/host/paths.ts";

export const paths = createPaths({ root: "/", snap: "/snap/k8s/current", snapCommon: "/var/snap/k8s/common" });

/** A control plane on one IPv4 address with the embedded datastore and nothing special about it. */
export function aNode(over: Partial<NodeView> = {}): NodeView {
  return {
    name: "n1",
    hostname: "n1",
    role: "control-plane",
    addresses: ["10.0.0.1"],
    loopback: "127.0.0.1",
    k8sdAddress: "10.0.0.1:6400",
    paths,
    cgroups: "v2",
    network: {
      podCidrs: ["10.1.0.0/16"],
      serviceCidrs: ["10.152.183.0/24"],
      nodePodCidrs: ["10.1.0.0/24"],
      kubeProxyEnabled: true,
    },
    securePort: 6443,
    authorizationMode: "Node,RBAC",
    datastore: { engine: "sqlite", endpoints: ["https://127.0.0.1:2379"], clientPort: 2379 },
    signing: { ca: true, clientCa: true },
    kubelet: { clusterDomain: "cluster.local", clusterDns: "10.152.183.10", cloudProvider: undefined, taints: [] },
    extraArgs: {},
    extraConfigFiles: {},
    extraContainerdConfig: {},
    pauseImage: "ghcr.io/canonical/k8s-snap/pause:3.10",
    machine: {
      systemd: true,
      appArmor: true,
      oomScoreAdjustable: true,
      conntrackWritable: true,
      resolvConf: "/etc/resolv.conf",
    },
    ...over,
  };
}

export function aWorker(over: Partial<NodeView> = {}): NodeView {
  return aNode({ role: "worker", signing: { ca: false, clientCa: false }, ...over });
}
