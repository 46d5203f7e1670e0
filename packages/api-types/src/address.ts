import { z } from "zod";
import { bounds, meshPeer, nanoseconds, pem, text, textList } from "./bounds.ts";

export const setAddressRequest = z.strictObject({
  /** As `--address` of a bootstrap. "" = it stays what it is. */
  address: text.default(""),
  /** New addresses of other nodes by their names, for a cluster in which nobody finds the others any more. */
  peers: z
    .record(z.string().max(bounds.name), text)
    .refine((map) => Object.keys(map).length <= bounds.list, `must have at most ${bounds.list} entries`)
    .default({}),
  timeout: nanoseconds.default(0),
});
export type SetAddressRequest = z.infer<typeof setAddressRequest>;

export const setAddressResponse = z.object({
  name: z.string(),
  /** `ip:port` of its k8sd. */
  address: z.string(),
  addresses: z.array(z.string()),
  /** Of the other nodes that were named: "" where it could be told, else why not. */
  peers: z.record(z.string(), z.string()),
  /** Set where the datastore has no quorum: what brings it back. */
  advice: z.string().optional(),
});
export type SetAddressResponse = z.infer<typeof setAddressResponse>;

/** A member has new addresses; it proves its key with the certificate it calls with. */
export const moveMemberRequest = z.strictObject({
  addresses: textList.min(1).max(4),
  "k8sd-address": text,
  "mesh-peer": meshPeer.optional(),
  /** Certificate signing requests of a worker, by the name of the certificate they are for. */
  requests: z
    .record(z.string().max(64), pem)
    .refine((map) => Object.keys(map).length <= 8, "must have at most 8 entries")
    .default({}),
});
export type MoveMemberRequest = z.infer<typeof moveMemberRequest>;

export const moveMemberResponse = z.object({ pki: z.record(z.string(), z.string()) });
export type MoveMemberResponse = z.infer<typeof moveMemberResponse>;

/** What another member knows of who has moved. */
export const membersMovedRequest = z.strictObject({
  members: z
    .array(z.strictObject({ id: z.string().max(64), addresses: textList.min(1).max(4), "k8sd-address": text }))
    .max(bounds.list),
});
export type MembersMovedRequest = z.infer<typeof membersMovedRequest>;
