import { z } from "zod";
import { bounds, name, nanoseconds, pem, text, timestamp } from "./bounds.ts";

export const snapshotKeyRequest = z.strictObject({
  /** Also where the cluster has a key. */
  replace: z.boolean().default(false),
});
export type SnapshotKeyRequest = z.infer<typeof snapshotKeyRequest>;

export const snapshotKeyResponse = z.object({
  /** What the operator keeps; it is told once. */
  key: z.string(),
  id: z.string(),
});
export type SnapshotKeyResponse = z.infer<typeof snapshotKeyResponse>;

/** A file in a directory of snapshots. */
export const snapshot = z.object({
  name: z.string(),
  path: z.string(),
  bytes: z.int(),
  /** As the file says it; absent when it cannot be read. */
  content: z
    .object({
      created: timestamp,
      cluster: z.string(),
      epoch: z.int(),
      node: z.string(),
      engine: z.enum(["sqlite", "etcd", "external"]),
      revision: z.int(),
      keys: z.int(),
      versions: z.record(z.string(), z.string()),
      /** Id of the key that opens it. */
      key: z.string(),
    })
    .optional(),
  /** Why it cannot be read. */
  problem: z.string().optional(),
});
export type Snapshot = z.infer<typeof snapshot>;

/** Where a bucket of an S3-compatible store is. */
const storePlace = z.strictObject({
  /** Its buckets are the first part of the path. */
  url: z.url({ protocol: /^https?$/ }).max(bounds.text),
  bucket: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "must be the name of a bucket"),
  /** Before the names of objects. */
  prefix: text.default(""),
  region: name.default("us-east-1"),
});

/** With what opens it. */
const snapshotStore = storePlace.extend({
  "access-key-id": name.min(1),
  "secret-access-key": name.min(1),
  ca: pem.default(""),
});
export type SnapshotStore = z.infer<typeof snapshotStore>;

export const listSnapshotsRequest = z.strictObject({
  /** "" = the node's own. */
  directory: text.default(""),
  /** Those in the cluster's store instead. */
  store: z.boolean().default(false),
  /** Those in this one instead, also on a machine that belongs to no cluster. */
  at: snapshotStore.optional(),
});
export type ListSnapshotsRequest = z.infer<typeof listSnapshotsRequest>;

export const listSnapshotsResponse = z.object({ directory: z.string(), snapshots: z.array(snapshot) });
export type ListSnapshotsResponse = z.infer<typeof listSnapshotsResponse>;

export const saveSnapshotRequest = z.strictObject({
  directory: text.default(""),
  /** To the cluster's store instead. */
  store: z.boolean().default(false),
  /** How many of the cluster's are kept in the directory; 0 = all. */
  keep: z.int().min(0).max(100_000).default(0),
  timeout: nanoseconds.default(0),
});
export type SaveSnapshotRequest = z.infer<typeof saveSnapshotRequest>;

export const fetchSnapshotRequest = z.strictObject({
  /** As it is listed. */
  name: text.min(1),
  /** Where the file is put; "" = the node's own. */
  directory: text.default(""),
  /** Absent: the cluster's store. */
  at: snapshotStore.optional(),
  timeout: nanoseconds.default(0),
});
export type FetchSnapshotRequest = z.infer<typeof fetchSnapshotRequest>;

export const setSnapshotStoreRequest = z.strictObject({
  /** Absent: none is used any more. */
  store: snapshotStore.optional(),
});
export type SetSnapshotStoreRequest = z.infer<typeof setSnapshotStoreRequest>;

export const snapshotStoreStatus = z.object({ store: storePlace.extend({ "access-key-id": z.string() }).optional() });
export type SnapshotStoreStatus = z.infer<typeof snapshotStoreStatus>;

export const snapshotScheduleRequest = z.strictObject({
  /** From the beginning of one to the next; 0 = none are made. */
  every: nanoseconds,
  /** How many of the cluster's are kept in the directory; 0 = all. */
  keep: z.int().min(0).max(100_000).default(0),
  directory: text.default(""),
  /** To the cluster's store instead. */
  store: z.boolean().default(false),
});
export type SnapshotScheduleRequest = z.infer<typeof snapshotScheduleRequest>;

export const snapshotScheduleStatus = z.object({
  /** Absent: none are made. */
  schedule: z
    .object({ every: nanoseconds, keep: z.int(), directory: z.string(), store: z.boolean(), node: z.string() })
    .optional(),
  last: timestamp.optional(),
  path: z.string().optional(),
  /** When one failed since then, and why. */
  failed: timestamp.optional(),
  error: z.string().optional(),
  next: timestamp.optional(),
});
export type SnapshotScheduleStatus = z.infer<typeof snapshotScheduleStatus>;

export const restorePlanRequest = z.strictObject({
  /** On the node that is asked. */
  path: text.min(1),
  /** The content of the operator's key file. */
  key: text.min(1),
  /** For a machine that belongs to no cluster; "" = as the snapshot has it. */
  engine: z.enum(["", "sqlite", "etcd"]).default(""),
  name: name.default(""),
  address: text.default(""),
});
export type RestorePlanRequest = z.infer<typeof restorePlanRequest>;

export const restorePlan = z.object({
  /** Whether the node is a control plane of the cluster, or becomes one. */
  mode: z.enum(["new", "in-place"]),
  node: z.string(),
  engine: z.enum(["sqlite", "etcd"]),
  /** The epoch that begins. */
  epoch: z.int(),
  created: timestamp,
  cluster: z.string(),
  /** Where the snapshot comes from. */
  from: z.object({ node: z.string(), engine: z.string(), revision: z.int(), epoch: z.int() }),
  keys: z.int(),
  /** Names of members that stay, and of those that are taken out. */
  kept: z.array(z.string()),
  removed: z.array(z.string()),
  /** Where the data is kept that is now on this node. */
  backup: z.string().optional(),
  /** Why it should not be done. */
  refusal: z.object({ message: z.string(), remedy: z.string(), forceable: z.boolean() }).optional(),
});
export type RestorePlan = z.infer<typeof restorePlan>;

export const restoreRequest = restorePlanRequest.extend({
  /** Also where another control plane answers. */
  force: z.boolean().default(false),
  timeout: nanoseconds.default(0),
});
export type RestoreRequest = z.infer<typeof restoreRequest>;

export const restoreResponse = z.object({ node: z.string(), epoch: z.int(), backup: z.string().optional() });
export type RestoreResponse = z.infer<typeof restoreResponse>;
