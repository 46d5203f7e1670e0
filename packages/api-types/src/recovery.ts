import { z } from "zod";
import { nanoseconds } from "./bounds.ts";

/** How an epoch of a cluster began that is not its first. */
export const recoveryRecord = z.object({
  id: z.string(),
  /** Name of the node whose copy was chosen. */
  by: z.string(),
  /** Of that copy's last entry. */
  term: z.number(),
  index: z.number(),
  /** Milliseconds since the Unix epoch. */
  at: z.number(),
});

/** What a control plane holds of the cluster's data, as it tells the others. */
export const datastoreCopy = z.object({
  id: z.string(),
  name: z.string(),
  cluster: z.object({ id: z.string(), epoch: z.int(), recovery: recoveryRecord.optional() }),
  addresses: z.array(z.string()),
  engine: z.enum(["sqlite", "etcd", "external"]),
  /** The end of its log; absent where there is none. */
  log: z.object({ term: z.number(), index: z.number() }).optional(),
  /** True: a majority answers it. */
  quorum: z.boolean(),
  /** True: its data is being made from another copy just now. */
  rejoining: z.boolean(),
  /** The answering node's clock, milliseconds since the Unix epoch. */
  now: z.number(),
});
export type DatastoreCopy = z.infer<typeof datastoreCopy>;

/** The part of it that costs nothing to tell: in which epoch the node is. */
export const clusterEpoch = datastoreCopy.pick({ id: true, name: true, cluster: true, rejoining: true });
export type ClusterEpoch = z.infer<typeof clusterEpoch>;

/** What a recovery knows of one control plane. */
export const recoveryMember = z.object({
  name: z.string(),
  address: z.string(),
  self: z.boolean(),
  /** Absent: it did not answer. */
  log: z.object({ term: z.number(), index: z.number() }).optional(),
  /** Why it counts for nothing. */
  problem: z.string().optional(),
});
export type RecoveryMember = z.infer<typeof recoveryMember>;

export const recoveryPlan = z.object({
  /** Name of the node whose copy is kept: the one that is asked. */
  keeps: z.string(),
  epoch: z.object({ from: z.int(), to: z.int() }),
  members: z.array(recoveryMember),
  /** Names of those that take over the kept copy when they answer. */
  rejoin: z.array(z.string()),
  /** Where the data that is now on this node is kept. */
  backup: z.string(),
  /** Why it should not be done. */
  refusal: z.object({ message: z.string(), remedy: z.string(), forceable: z.boolean() }).optional(),
});
export type RecoveryPlan = z.infer<typeof recoveryPlan>;

export const recoverRequest = z.strictObject({
  /** Also where another node has more, or a majority may come back. */
  force: z.boolean().default(false),
  timeout: nanoseconds.default(0),
});
export type RecoverRequest = z.infer<typeof recoverRequest>;

export const recoverResponse = z.object({
  epoch: z.int(),
  backup: z.string(),
  rejoin: z.array(z.string()),
});
export type RecoverResponse = z.infer<typeof recoverResponse>;
