import type { ClusterConfig, ResolvedClusterConfig } from "./types.ts";

export const defaultPorts = { apiserver: 6443, etcd: 2379, etcdPeer: 2380 } as const;

export const defaultLocalStoragePath = "/var/snap/k8s/common/rawfile-storage";

/** Decides what the user left open. Applied once, at bootstrap: what is stored later changes only on request. */
export function applyDefaults(
  config: ClusterConfig,
  options: { readonly localStoragePath?: string } = {},
): ResolvedClusterConfig {
  const { network, dns, kubelet } = config;
  const networkEnabled = network.enabled ?? false;
  return {
    ...config,
    // The ports of etcd are decided for every engine: a cluster can move to etcd later.
    datastore: {
      type: "sqlite",
      "etcd-port": defaultPorts.etcd,
      "etcd-peer-port": defaultPorts.etcdPeer,
      ...defined(config.datastore),
    },
    apiserver: { port: defaultPorts.apiserver, "authorization-mode": "Node,RBAC", ...defined(config.apiserver) },
    kubelet: { "cluster-domain": "cluster.local", ...defined(kubelet) },
    network: {
      enabled: networkEnabled,
      "pod-cidr": "10.1.0.0/16",
      "service-cidr": "10.152.183.0/24",
      "kube-proxy-enabled": !networkEnabled,
      ...defined(network),
    },
    dns: {
      enabled: dns.enabled ?? false,
      "upstream-nameservers": dns["upstream-nameservers"]?.length ? dns["upstream-nameservers"] : ["/etc/resolv.conf"],
    },
    ingress: { enabled: false, "default-tls-secret": "", "enable-proxy-protocol": false, ...defined(config.ingress) },
    "load-balancer": {
      enabled: false,
      cidrs: [],
      ranges: [],
      "l2-mode": true,
      "l2-interfaces": [],
      "bgp-mode": false,
      "bgp-local-asn": 0,
      "bgp-peer-address": "",
      "bgp-peer-asn": 0,
      "bgp-peer-port": 179,
      ...defined(config["load-balancer"]),
    },
    gateway: { enabled: false, ...defined(config.gateway) },
    "local-storage": {
      enabled: false,
      "local-path": options.localStoragePath ?? defaultLocalStoragePath,
      "reclaim-policy": "Delete",
      default: true,
      ...defined(config["local-storage"]),
    },
    "metrics-server": { enabled: true, ...defined(config["metrics-server"]) },
  };
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the keys that hold undefined, so that spreading it over defaults keeps them. */
export function defined<T extends object>(values: T): Defined<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<T>;
}
