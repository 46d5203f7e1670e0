import { createPublicKey, type KeyObject } from "node:crypto";
import { privateKeyFromRaw } from "@libp2p/crypto/keys";
import type { PrivateKey } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { meshKey } from "./peer-id.ts";

/** What a node is in the mesh. The peer id holds the whole public key: who knows the id can check signatures. */
export interface MeshIdentity {
  readonly peerId: string;
  /** Ed25519, for signatures of our own. */
  readonly key: KeyObject;
  readonly privateKey: PrivateKey;
}

export function meshIdentity(nodeKey: KeyObject | string): MeshIdentity {
  const { peerId, key, seed, publicBytes } = meshKey(nodeKey);
  return { peerId, key, privateKey: privateKeyFromRaw(Buffer.concat([seed, publicBytes])) };
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
