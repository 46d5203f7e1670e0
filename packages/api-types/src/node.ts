import { z } from "zod";

export const clusterRole = z.enum(["control-plane", "worker", "unknown"]);
export type ClusterRole = z.infer<typeof clusterRole>;

export const datastoreRole = z.enum(["voter", "stand-by", "spare", "PENDING", "unknown"]);
export type DatastoreRole = z.infer<typeof datastoreRole>;

export const nodeStatus = z.object({
  name: z.string().optional(),
  /** `ip:port` of a control plane, the bare address of a worker. */
  address: z.string().optional(),
  "cluster-role": clusterRole.optional(),
  "datastore-role": datastoreRole.optional(),
});
export type NodeStatus = z.infer<typeof nodeStatus>;

export const localNodeStatus = z.object({ status: nodeStatus, taints: z.array(z.string()).optional() });
export type LocalNodeStatus = z.infer<typeof localNodeStatus>;
