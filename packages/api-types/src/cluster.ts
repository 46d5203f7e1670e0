import { z } from "zod";
import { bootstrapConfig } from "./bootstrap-config.ts";
import { document, name, nanoseconds, text, timestamp } from "./bounds.ts";
import { userFacingClusterConfig } from "./cluster-config.ts";
import { datastoreStatus } from "./datastore.ts";
import { featureStatus } from "./feature.ts";
import { liveness } from "./mesh.ts";
import { nodeStatus } from "./node.ts";

/** One reason for being ready or not, computed from something observed. */
export const condition = z.object({
  name: z.string(),
  ok: z.boolean(),
  /** One word for programs: `EndpointAnswers`, `NodeNotReady`. */
  reason: z.string(),
  message: z.string(),
  "observed-at": timestamp,
});
export type Condition = z.infer<typeof condition>;

export const clusterStatus = z.object({
  /** Absent when false. */
  ready: z.literal(true).optional(),
  /** Control planes only. */
  members: z.array(nodeStatus).optional(),
  config: userFacingClusterConfig,
  datastore: datastoreStatus,
  dns: featureStatus,
  network: featureStatus,
  "load-balancer": featureStatus,
  ingress: featureStatus,
  gateway: featureStatus,
  "metrics-server": featureStatus,
  "local-storage": featureStatus,
  /** Beyond the contract: every node, as this one last heard of it. */
  nodes: z
    .array(
      z.object({
        name: z.string(),
        role: z.enum(["control-plane", "worker"]),
        state: z.enum(["reserved", "joining", "active", "leaving"]),
        address: z.string(),
        /** Of its daemon, as the mesh found it; absent where this node has no mesh. */
        liveness: liveness.optional(),
        /** When this node last had a message from it. */
        "last-contact": timestamp.optional(),
      }),
    )
    .optional(),
  /** Beyond the contract: when this node last heard who is in the cluster; absent where it reads the ledger itself. */
  "heard-at": timestamp.optional(),
  /** Beyond the contract: why `ready` is what it is. */
  conditions: z.array(condition).optional(),
});
export type ClusterStatus = z.infer<typeof clusterStatus>;

export const getClusterStatusResponse = z.object({ status: clusterStatus });
export type GetClusterStatusResponse = z.infer<typeof getClusterStatusResponse>;

export const bootstrapRequest = z.strictObject({
  name: name.default(""),
  address: text.default(""),
  /** Beyond the contract: a YAML document as text, read by the same rules as `k8s bootstrap --file` always had. */
  config: z.union([bootstrapConfig, document]).default({}),
  /** 0 = no limit but the server's own. */
  timeout: nanoseconds.default(0),
});
export type BootstrapRequest = z.infer<typeof bootstrapRequest>;

export const joinRequest = z.strictObject({
  name: name.default(""),
  address: text.default(""),
  token: z
    .string()
    .max(64 * 1024)
    .default(""),
  /** A YAML or JSON document as text; "" = all defaults. */
  config: document.default(""),
  timeout: nanoseconds.default(0),
});
export type JoinRequest = z.infer<typeof joinRequest>;

export const removeNodeRequest = z.strictObject({
  name: name.default(""),
  force: z.boolean().default(false),
  timeout: nanoseconds.default(0),
});
export type RemoveNodeRequest = z.infer<typeof removeNodeRequest>;

/** This node goes out of its cluster. */
export const leaveRequest = z.strictObject({
  /** True: without asking the cluster, which may be gone. */
  force: z.boolean().default(false),
  timeout: nanoseconds.default(0),
});
export type LeaveRequest = z.infer<typeof leaveRequest>;

export const workerInfoRequest = z.strictObject({ address: text.default("") });
export type WorkerInfoRequest = z.infer<typeof workerInfoRequest>;

/** Mixed key styles are the contract's. */
export const workerInfoResponse = z.object({
  ca: z.string().optional(),
  "client-ca": z.string().optional(),
  apiServers: z.array(z.string()),
  kubeletClientCert: z.string(),
  kubeletClientKey: z.string(),
  kubeProxyClientCert: z.string(),
  kubeProxyClientKey: z.string(),
  podCIDR: z.string(),
  serviceCIDR: z.string(),
  clusterDNS: z.string().optional(),
  clusterDomain: z.string().optional(),
  cloudProvider: z.string().optional(),
  kubeletCrt: z.string().optional(),
  kubeletKey: z.string().optional(),
  k8sdPublicKey: z.string().optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  /** Absent = false. */
  "kube-proxy-enabled": z.boolean().optional(),
});
export type WorkerInfoResponse = z.infer<typeof workerInfoResponse>;
