import { z } from "zod";
import { bounds, meshPeer, name, pem, text, textList } from "./bounds.ts";
import { clusterRole } from "./node.ts";
import { operationEvent } from "./operation.ts";
import { recoveryRecord } from "./recovery.ts";

/** One node as the others know it. */
export const member = z.object({
  id: z.string(),
  name: z.string(),
  addresses: z.array(z.string()),
  /** `ip:port` of its k8sd. */
  "k8sd-address": z.string(),
  role: clusterRole,
  state: z.enum(["reserved", "joining", "active", "leaving", "removed"]),
  /** Parts of the pod range that are its own. */
  "pod-cidrs": z.array(z.string()),
  /** SHA-256 of its public key (SPKI, DER), lower case hex. */
  key: z.string(),
  /** Its id in the mesh. */
  "mesh-peer": z.string().optional(),
  /** When it came into its state. Milliseconds since the Unix epoch. */
  "changed-at": z.number().optional(),
});
export type Member = z.infer<typeof member>;

export const listMembersResponse = z.object({
  members: z.array(member),
  /** Where the API servers of the cluster listen. */
  "api-servers": z.array(z.string()),
  /** What holds the cluster's data. */
  "datastore-type": z.string().optional(),
});
export type ListMembersResponse = z.infer<typeof listMembersResponse>;

/** A node asks for a place in the cluster; it proves its key, and by it its id, with the certificate it calls with. */
export const reserveRequest = z.strictObject({
  secret: z.string().max(256),
  name,
  role: z.enum(["control-plane", "worker"]),
  addresses: textList.min(1).max(4),
  "k8sd-address": text,
  "mesh-peer": meshPeer.optional(),
  versions: z.record(z.string().max(64), z.string().max(256)).default({}),
  /** Certificate signing requests of a worker, by the name of the certificate they are for: `kubelet`. */
  requests: z
    .record(z.string().max(64), pem)
    .refine((map) => Object.keys(map).length <= 8, "must have at most 8 entries")
    .default({}),
});
export type ReserveRequest = z.infer<typeof reserveRequest>;

/** Asked before a place is: what has to be done first for a node like this one is begun, and told until it is done. */
export const prepareRequest = reserveRequest.extend({
  /** Of one attempt to join; what failed for it is not begun again. */
  attempt: z.string().max(128),
});
export type PrepareRequest = z.infer<typeof prepareRequest>;

export const prepareResponse = z.object({
  /** False: ask again in a moment. */
  ready: z.boolean(),
  /** What was done so far. */
  events: z.array(operationEvent),
});
export type PrepareResponse = z.infer<typeof prepareResponse>;

export const reserveResponse = z.object({
  id: z.string(),
  cluster: z.object({ id: z.string(), epoch: z.number(), recovery: recoveryRecord.optional() }),
  /** Which of the node's times in the cluster this is, from 1. */
  incarnation: z.number(),
  /** The cluster's configuration as it is stored. */
  config: z.unknown(),
  "pod-cidrs": z.array(z.string()),
  members: z.array(member),
  "api-servers": z.array(z.string()),
  /** Certificates, and for a control plane keys, by their configuration key. */
  pki: z.record(z.string(), z.string()),
  /** Opens what the cluster keeps sealed; control planes only. Base64. */
  "seal-key": z.string().max(bounds.text).optional(),
  /** The answering node's clock, milliseconds since the Unix epoch. */
  now: z.number(),
});
export type ReserveResponse = z.infer<typeof reserveResponse>;

/** Of the node that asks, by the key that it proves. */
export const standingResponse = z.object({
  state: z.enum(["unknown", "reserved", "joining", "active", "leaving", "removed"]),
  /** Of the copy of the cluster's data that this is read from. */
  epoch: z.number(),
  /** Id of the recovery that this epoch began with. */
  recovery: z.string().optional(),
  /** Which of the node's times in the cluster the state is about; 0 when it is unknown. */
  incarnation: z.number(),
});
export type StandingResponse = z.infer<typeof standingResponse>;

/** Whom the control plane that is asked takes for dead, and for how long without a break. */
export const deadMembersResponse = z.object({ members: z.array(z.object({ id: z.string(), "dead-ms": z.number() })) });
export type DeadMembersResponse = z.infer<typeof deadMembersResponse>;

/** The next step of a node that has a place. */
export const advanceRequest = z.strictObject({
  action: z.enum(["begin", "renew", "commit", "release", "leave"]),
  /** Of a worker that leaves: its Pods are gone already, nobody needs to wait for them. */
  force: z.boolean().optional(),
});
export type AdvanceRequest = z.infer<typeof advanceRequest>;
