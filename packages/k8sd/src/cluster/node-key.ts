import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isMissingFile } from "../lib/app-error.ts";
import { writeFileAtomic } from "../lib/write-file.ts";
import { meshKey } from "../mesh/peer-id.ts";
import { selfSign } from "../pki/certificate.ts";
import { certificateRow } from "../pki/certificate-table.ts";
import { generateKey, keyFingerprint, privateKeyPem, readPrivateKey } from "../pki/keys.ts";
import { lifetimes } from "../pki/lifetimes.ts";
import { altNames, noNames } from "../pki/names.ts";
import type { PemPair } from "../pki/supplied.ts";

/** What a node is by itself, before and after it belongs to a cluster. */
export interface NodeKey {
  readonly id: string;
  /** SHA-256 of the public key (SPKI, DER), lower case hex. */
  readonly fingerprint: string;
  /** The node's id in the mesh. */
  readonly meshPeer: string;
  readonly privateKey: KeyObject;
  /** In which it shows its key of the mesh there. */
  meshCertificate(now: Date): PemPair;
  /** The self-signed certificate in which the node shows its key to others, under the name it has there. */
  certificate(nodeName: string, now: Date): PemPair;
}

/** A peer whose clock is further behind is told so, and is no peer until somebody sets it. */
const toleratedSkewMs = 3_600_000;

export function createNodeKey(key: KeyObject): NodeKey {
  const fingerprint = keyFingerprint(key);
  const mesh = meshKey(key);
  return {
    fingerprint,
    id: nodeIdOf(fingerprint),
    meshPeer: mesh.peerId,
    privateKey: key,
    meshCertificate: (now) => ({
      certificate: selfSign(
        {
          subject: { commonName: mesh.peerId },
          names: noNames,
          usages: ["server", "client"],
          lifetimeMs: lifetimes.authority,
          now: new Date(now.getTime() - toleratedSkewMs),
        },
        mesh.key,
      ),
      key: privateKeyPem(mesh.key),
    }),
    certificate: (commonName, now) => {
      const { usages } = certificateRow("server");
      const template = { subject: { commonName }, names: altNames([commonName], []), usages };
      return {
        certificate: selfSign({ ...template, lifetimeMs: lifetimes.authority, now }, key),
        key: privateKeyPem(key),
      };
    },
  };
}

/** A UUID (version 8, RFC 9562) that follows from the key: who proves the key needs not to be believed its id. */
export function nodeIdOf(fingerprint: string): string {
  const bytes = Buffer.from(fingerprint.slice(0, 32), "hex");
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** Reads the key of this node, or makes it. It outlives attempts to join that fail, so a repeated attempt is the same node. */
export async function loadNodeKey(file: string): Promise<NodeKey> {
  try {
    return createNodeKey(readPrivateKey(await readFile(file, "utf8"), file));
  } catch (error) {
    if (!isMissingFile(error)) throw error;
    const key = generateKey();
    await writeFileAtomic({ path: file, content: privateKeyPem(key), mode: 0o600 });
    return createNodeKey(key);
  }
}
