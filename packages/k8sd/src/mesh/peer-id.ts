import { createPrivateKey, hkdfSync, type KeyObject } from "node:crypto";
import { AppError } from "../lib/app-error.ts";

/** The key of a node in the mesh. Apart from the rest, so that a node knows its peer id without loading libp2p. */
export interface MeshKey {
  readonly peerId: string;
  /** Ed25519. */
  readonly key: KeyObject;
  readonly seed: Buffer;
  readonly publicBytes: Buffer;
}

/** PKCS #8 of an Ed25519 key is this and its 32 bytes (RFC 8410). */
const ed25519Prefix = Buffer.from("302e020100300506032b657004220420", "hex");
/** A peer id of an Ed25519 key is the key itself behind this: identity hash, 36 bytes of protobuf, kind of key, 32 bytes. */
const peerIdPrefix = Buffer.from("002408011220", "hex");

/**
 * The key that follows from the node's own key, the same at each start. libp2p has no peer ids for P-256 keys: an Ed25519
 * key is used as it is, another one is stretched into one, so there is still one key to keep.
 */
export function meshKey(nodeKey: KeyObject | string): MeshKey {
  const own = typeof nodeKey === "string" ? createPrivateKey(nodeKey) : nodeKey;
  const secret = own.export({ format: "jwk" }).d;
  if (own.type !== "private" || typeof secret !== "string")
    throw new AppError("invalid", "cannot derive the mesh identity: it needs a private key");
  const bytes = Buffer.from(secret, "base64url");
  const seed =
    own.asymmetricKeyType === "ed25519"
      ? bytes
      : Buffer.from(hkdfSync("sha256", bytes, Buffer.alloc(0), "k8sd mesh identity 1", 32));
  const key = createPrivateKey({ key: Buffer.concat([ed25519Prefix, seed]), format: "der", type: "pkcs8" });
  const publicBytes = Buffer.from(key.export({ format: "jwk" }).x ?? "", "base64url");
  return { peerId: base58(Buffer.concat([peerIdPrefix, publicBytes])), key, seed, publicBytes };
}

const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

function base58(bytes: Buffer): string {
  let rest = BigInt(`0x${bytes.toString("hex")}`);
  let text = "";
  for (; rest > 0n; rest /= 58n) text = `${alphabet[Number(rest % 58n)]}${text}`;
  const zeros = bytes.findIndex((byte) => byte !== 0);
  return "1".repeat(zeros) + text;
}
