import { z } from "zod";
import { name, nanoseconds, text, textList, timestamp } from "./bounds.ts";

export const joinTokenRequest = z.strictObject({
  name: name.default(""),
  worker: z.boolean().default(false),
  /** 0 = 24 hours. */
  ttl: nanoseconds.default(0),
  /** Beyond the contract: how many nodes may join with it. More than one only for workers of any name. */
  uses: z.int().min(1).default(1),
  /** Beyond the contract: where the node may call from; none = from anywhere. */
  cidrs: textList.default([]),
});
export type JoinTokenRequest = z.infer<typeof joinTokenRequest>;

export const joinTokenResponse = z.object({ token: z.string() });
export type JoinTokenResponse = z.infer<typeof joinTokenResponse>;

/** A join token without its secret. */
export const joinToken = z.object({
  id: z.string(),
  role: z.enum(["control-plane", "worker"]),
  /** "" = a node of any name. */
  name: z.string(),
  state: z.enum(["valid", "used-up", "expired", "revoked"]),
  /** How many nodes may join with it, have joined, and are joining. */
  uses: z.int(),
  used: z.int(),
  joining: z.int(),
  cidrs: z.array(text),
  created: timestamp,
  expires: timestamp,
});
export type JoinToken = z.infer<typeof joinToken>;

export const listJoinTokensResponse = z.object({ tokens: z.array(joinToken) });
export type ListJoinTokensResponse = z.infer<typeof listJoinTokensResponse>;
