import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject } from "node:crypto";
import { privateKeyFromRaw } from "@libp2p/crypto/keys";
import type { PrivateKey } from "@libp2p/interface";
import { peerIdFromPrivateKey, peerIdFromString } from "@libp2p/peer-id";
import { AppError } from "../lib/app-error.ts";

/** What a node is in the mesh. The peer id holds the whole public key: who knows the id can check signatures. */
export interface MeshIdentity {
  readonly peerId: string;
  /** Ed25519, for signatures of our own. */
  readonly key: KeyObject;
  readonly privateKey: PrivateKey;
}

/** PKCS #8 of an Ed25519 key is this and its 32 bytes (RFC 8410). */
const ed25519Prefix = Buffer.from("302e020100300506032b657004220420", "hex");

/**
 * The identity that follows from the node's own key, the same at each start. libp2p has no peer ids for P-256 keys:
 * an Ed25519 key is used as it is, another one is stretched into one, so there is still one key to keep.
 */
export function meshIdentity(nodeKey: KeyObject | string): MeshIdentity {
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
  const privateKey = privateKeyFromRaw(Buffer.concat([seed, publicBytes]));
  return { peerId: peerIdFromPrivateKey(privateKey).toString(), key, privateKey };
}

/** The public key in a peer id; undefined when the text is no peer id of ours. */
export function publicKeyOfPeer(peerId: string): KeyObject | undefined {
  try {
    const { publicKey } = peerIdFromString(peerId);
    if (publicKey?.type !== "Ed25519") return undefined;
    const x = Buffer.from(publicKey.raw).toString("base64url");
    return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  } catch {
    // Not base58, or no key in it: the caller learns the same.
    return undefined;
  }
}
