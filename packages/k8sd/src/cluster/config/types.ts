import { z } from "zod";

const text = z.string().optional();
const list = z.array(z.string()).optional();
const flag = z.boolean().optional();
const number = z.int().optional();

/**
 * The configuration of the cluster as it is stored. Every leaf is optional: absent means that nobody has decided, which is
 * not the same as false, "" or 0. Sections are always there.
 */
export const clusterConfig = z.object({
  certificates: z
    .object({
      "ca-crt": text,
      "ca-key": text,
      "client-ca-crt": text,
      "client-ca-key": text,
      "front-proxy-ca-crt": text,
      "front-proxy-ca-key": text,
      "service-account-key": text,
      "apiserver-to-kubelet-client-crt": text,
      "apiserver-to-kubelet-client-key": text,
      "admin-client-crt": text,
      "admin-client-key": text,
      "k8sd-public-key": text,
      "k8sd-private-key": text,
    })
    .default({}),
  datastore: z
    .object({
      type: text,
      "external-servers": list,
      "external-ca-crt": text,
      "external-client-crt": text,
      "external-client-key": text,
      "etcd-ca-crt": text,
      "etcd-ca-key": text,
      "etcd-apiserver-client-crt": text,
      "etcd-apiserver-client-key": text,
      "etcd-port": number,
      "etcd-peer-port": number,
    })
    .default({}),
  apiserver: z.object({ port: number, "authorization-mode": text }).default({}),
  kubelet: z
    .object({ "cloud-provider": text, "cluster-dns": text, "cluster-domain": text, "control-plane-taints": list })
    .default({}),
  network: z.object({ enabled: flag, "pod-cidr": text, "service-cidr": text, "kube-proxy-enabled": flag }).default({}),
  dns: z.object({ enabled: flag, "upstream-nameservers": list }).default({}),
  ingress: z.object({ enabled: flag, "default-tls-secret": text, "enable-proxy-protocol": flag }).default({}),
  "load-balancer": z
    .object({
      enabled: flag,
      cidrs: list,
      ranges: z.array(z.object({ start: z.string(), stop: z.string() })).optional(),
      "l2-mode": flag,
      "l2-interfaces": list,
      "bgp-mode": flag,
      "bgp-local-asn": number,
      "bgp-peer-address": text,
      "bgp-peer-asn": number,
      "bgp-peer-port": number,
    })
    .default({}),
  gateway: z.object({ enabled: flag }).default({}),
  "local-storage": z.object({ enabled: flag, "local-path": text, "reclaim-policy": text, default: flag }).default({}),
  "metrics-server": z.object({ enabled: flag }).default({}),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type ClusterConfig = z.infer<typeof clusterConfig>;

export const emptyClusterConfig = (): ClusterConfig => clusterConfig.parse({});

type With<T, K extends keyof T> = T & { [P in K]-?: NonNullable<T[P]> };

/** A configuration in which everything that has a default is decided. */
export type ResolvedClusterConfig = ClusterConfig & {
  datastore: With<ClusterConfig["datastore"], "type" | "etcd-port" | "etcd-peer-port">;
  apiserver: With<ClusterConfig["apiserver"], "port" | "authorization-mode">;
  kubelet: With<ClusterConfig["kubelet"], "cluster-domain">;
  network: With<ClusterConfig["network"], "enabled" | "pod-cidr" | "service-cidr" | "kube-proxy-enabled">;
  dns: With<ClusterConfig["dns"], "enabled" | "upstream-nameservers">;
  ingress: With<ClusterConfig["ingress"], "enabled" | "default-tls-secret" | "enable-proxy-protocol">;
  "load-balancer": With<ClusterConfig["load-balancer"], keyof ClusterConfig["load-balancer"]>;
  gateway: With<ClusterConfig["gateway"], "enabled">;
  "local-storage": With<ClusterConfig["local-storage"], keyof ClusterConfig["local-storage"]>;
  "metrics-server": With<ClusterConfig["metrics-server"], "enabled">;
};

export const datastoreTypes = ["sqlite", "etcd", "external"] as const;

export const nodeServices = [
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kube-proxy",
  "kubelet",
  "containerd",
  "etcd",
  "k8s-apiserver-proxy",
] as const;
export type NodeService = (typeof nodeServices)[number];

/** What concerns the one node that is set up, and is not stored for the cluster. */
export interface NodeConfig {
  readonly extraSans: readonly string[];
  readonly disableSystemTuning: boolean;
  readonly containerdBaseDir: string | undefined;
  /** File name to content. */
  readonly extraFiles: Readonly<Record<string, string>>;
  /** Flags over the defaults; null takes a flag away. */
  readonly extraArgs: Readonly<Partial<Record<NodeService, Readonly<Record<string, string | null>>>>>;
  readonly containerdConfig: Readonly<Record<string, unknown>>;
  /** Certificates and keys that the user brings for this node, by their configuration key: `apiserver-crt`. */
  readonly certificates: Readonly<Record<string, string>>;
}
