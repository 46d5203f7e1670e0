import { type KeyObject, sign, verify } from "node:crypto";
import type { SignedHead } from "./messages.ts";
import type { Head, NodeId } from "./types.ts";

/** Who may say what the ledger holds. Signatures, because a copy comes from any peer, not from its author. */
export interface Authority {
  /** undefined on a node that may not author. */
  sign(head: Head, root: Uint8Array): SignedHead | undefined;
  /** True when a control plane of the ledger has signed exactly this. */
  verify(head: SignedHead): boolean;
}

export interface AuthorityOptions {
  readonly self: NodeId;
  readonly clusterId: string;
}

export interface AuthorityDeps {
  /** This node's own key: P-256 or Ed25519. */
  readonly key: KeyObject;
  /** Public keys of the nodes that are control planes now; undefined for everybody else. */
  authorKey(id: NodeId): KeyObject | undefined;
}

export function createAuthority(options: AuthorityOptions, deps: AuthorityDeps): Authority {
  // The name of the purpose: a signature made for this is worth nothing elsewhere, nor in another cluster.
  const prefix = `k8sd ledger head 1\n${options.clusterId}\n`;
  const signed = (head: Head, root: Uint8Array): Buffer =>
    Buffer.concat([Buffer.from(`${prefix}${head.epoch} ${head.revision}\n`), root]);
  return {
    sign: ({ epoch, revision }, root) => {
      if (deps.authorKey(options.self) === undefined) return undefined;
      const signature = sign(hashFor(deps.key), signed({ epoch, revision }, root), deps.key);
      return { epoch, revision, root, author: options.self, signature };
    },
    verify: (head) => {
      const key = deps.authorKey(head.author);
      return key !== undefined && verify(hashFor(key), signed(head, head.root), key, head.signature);
    },
  };
}

function hashFor(key: KeyObject): string | undefined {
  return key.asymmetricKeyType === "ed25519" ? undefined : "sha256";
}
