import { z } from "zod";
import { timestamp } from "./bounds.ts";
import { clusterRole } from "./node.ts";

/** `unknown`: nobody has told yet. `left`: its daemon was stopped on purpose. */
export const liveness = z.enum(["unknown", "alive", "suspect", "dead", "left"]);

export const meshPeerStatus = z.object({
  id: z.string(),
  name: z.string(),
  role: clusterRole,
  "peer-id": z.string(),
  /** `host:port` of its mesh, the most promising first. */
  addresses: z.array(z.string()),
  state: liveness,
  /** Of that state. */
  since: timestamp,
  /** When this node last had a message from it. */
  "last-contact": timestamp.optional(),
  connected: z.boolean(),
  "round-trip-ms": z.number().optional(),
  /** How far its clock is ahead of this node's. */
  "clock-skew-ms": z.number().optional(),
  /** Why it cannot be reached. */
  problem: z
    .object({
      /** How far the way to it goes: a name, a connection, a handshake, the certificates' time, its consent, an answer. */
      reason: z.enum(["dns", "tcp", "tls", "clock", "not-a-member", "no-answer"]),
      detail: z.string(),
    })
    .optional(),
});
export type MeshPeerStatus = z.infer<typeof meshPeerStatus>;

export const meshStatus = z.object({
  running: z.boolean(),
  /** Why it does not run. */
  reason: z.string().optional(),
  /** Of this node's copy of the ledger. */
  replica: z.object({ epoch: z.number(), revision: z.number() }),
  peers: z.array(meshPeerStatus),
});
export type MeshStatus = z.infer<typeof meshStatus>;
