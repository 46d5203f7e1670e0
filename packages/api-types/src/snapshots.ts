import { z } from "zod";
import { nanoseconds, text, timestamp } from "./bounds.ts";

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

export const listSnapshotsRequest = z.strictObject({
  /** "" = the node's own. */
  directory: text.default(""),
});
export type ListSnapshotsRequest = z.infer<typeof listSnapshotsRequest>;

export const listSnapshotsResponse = z.object({ directory: z.string(), snapshots: z.array(snapshot) });
export type ListSnapshotsResponse = z.infer<typeof listSnapshotsResponse>;

export const saveSnapshotRequest = z.strictObject({
  directory: text.default(""),
  /** How many of the cluster's are kept in the directory; 0 = all. */
  keep: z.int().min(0).max(100_000).default(0),
  timeout: nanoseconds.default(0),
});
export type SaveSnapshotRequest = z.infer<typeof saveSnapshotRequest>;
