import { z } from "zod";
import { nanoseconds, pem, textList, timestamp } from "./bounds.ts";
import { operationEvent } from "./operation.ts";

/** A node that keeps the cluster's data. */
export const datastoreMember = z.object({
  name: z.string(),
  address: z.string(),
  role: z.enum(["voter", "learner"]),
  /** Why it says nothing of itself; what follows is absent then. */
  problem: z.string().optional(),
  version: z.string().optional(),
  leader: z.boolean().optional(),
  /** Changes that the cluster has and this member has not applied. */
  behind: z.number().optional(),
  /** Bytes of its file, those of them that hold data, and how many it may take. */
  size: z.number().optional(),
  "size-in-use": z.number().optional(),
  quota: z.number().optional(),
  alarms: z.array(z.string()).optional(),
  /** When its file was written anew by k8sd. */
  "last-defragmented": timestamp.optional(),
});
export type DatastoreMember = z.infer<typeof datastoreMember>;

/** Which key seals the cluster's secrets, told by id. */
export const sealKeyState = z.object({
  id: z.string(),
  /** It seals as soon as every control plane has it. */
  coming: z.string().optional(),
  /** It opens until nothing is left that it sealed. */
  leaving: z.string().optional(),
  /** Names of control planes that have not done their part yet. */
  "waiting-for": z.array(z.string()),
});
export type SealKeyState = z.infer<typeof sealKeyState>;

/** For control planes. Base64. */
export const sealKeysResponse = z.object({ keys: z.array(z.string().max(64)).max(16) });
export type SealKeysResponse = z.infer<typeof sealKeysResponse>;

export const datastoreReport = z.object({
  engine: z.enum(["sqlite", "etcd", "external"]),
  endpoints: z.array(z.string()),
  /** Why the datastore does not answer; what it would tell is absent then. */
  problem: z.string().optional(),
  version: z.string().optional(),
  revision: z.number().optional(),
  /** Bytes on disk, and those of them that hold data. */
  size: z.number().optional(),
  "size-in-use": z.number().optional(),
  alarms: z.array(z.string()),
  members: z.array(datastoreMember),
  "seal-key": sealKeyState.optional(),
  /** Where the migration stands that is under way. */
  migration: operationEvent.optional(),
});
export type DatastoreReport = z.infer<typeof datastoreReport>;

export const migrateRequest = z.strictObject({
  to: z.enum(["sqlite", "etcd", "external"]),
  /** As in a bootstrap configuration: of an external datastore, with the password where there is one. */
  "datastore-servers": textList.default([]),
  "datastore-ca-crt": pem.optional(),
  "datastore-client-crt": pem.optional(),
  "datastore-client-key": pem.optional(),
  timeout: nanoseconds.default(0),
});
export type MigrateRequest = z.infer<typeof migrateRequest>;

export const migrateResponse = z.object({
  from: z.string(),
  to: z.string(),
  /** When writes were paused, and for how long. */
  "paused-at": timestamp.optional(),
  "pause-ms": z.number().optional(),
});
export type MigrateResponse = z.infer<typeof migrateResponse>;
