import { z } from "zod";

/** Limits on what callers may send. Generous against real use, small against memory: a request is at most `maxBodyBytes`. */
export const bounds = {
  bodyBytes: 4 * 1024 * 1024,
  /** A DNS name (RFC 1035). */
  name: 253,
  /** Addresses, paths, tokens, one CIDR. */
  text: 4096,
  /** One certificate chain or key. */
  pem: 64 * 1024,
  /** One file of `extra-node-config-files`; a configuration document of a join. */
  document: 1024 * 1024,
  list: 1024,
  map: 1024,
} as const;

export const name = z.string().max(bounds.name);
export const text = z.string().max(bounds.text);
export const pem = z.string().max(bounds.pem);
export const document = z.string().max(bounds.document);
export const textList = z.array(text).max(bounds.list);
/** A peer id of libp2p that holds an Ed25519 key. */
export const meshPeer = z.string().regex(/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/, "must be the peer id of an Ed25519 key");

/** Go's time.Duration: whole nanoseconds. */
export const nanoseconds = z.int().min(0);

/** Go's int64. Seeds use all 63 bits, so they are never a JavaScript number inside. */
export const int64 = z
  .union([z.bigint(), z.int()])
  .transform((value) => BigInt(value))
  .pipe(
    z
      .bigint()
      .min(-(2n ** 63n))
      .max(2n ** 63n - 1n),
  );

export function mapOf<V extends z.ZodType>(value: V) {
  return z
    .record(z.string().max(bounds.text), value)
    .refine((map) => Object.keys(map).length <= bounds.map, `must have at most ${bounds.map} entries`);
}

/** Flags of a process: null takes the flag away. */
export const flagMap = mapOf(text.nullable());

/** An object no larger than the body; its content belongs to someone else (containerd's TOML). */
export const anyMap = mapOf(z.json());

export const timestamp = z.iso.datetime({ offset: true });

/** `{}` on the wire. */
export const empty = z.object({});
export type Empty = Record<string, never>;
