import { createHash } from "node:crypto";
import type { Authority } from "@k8sd/k8sd/mesh/authority.ts";
import type { LedgerEntry, SignedHead } from "@k8sd/k8sd/mesh/messages.ts";
import type { ReplicaStore } from "@k8sd/k8sd/mesh/replica.ts";
import type { Head, NodeId } from "@k8sd/k8sd/mesh/types.ts";
import type { Node } from "./world.ts";

/** The part of `node.db` that a replica lives in: it is there after a restart. */
export function createMemoryStore(): ReplicaStore {
  let head: SignedHead | undefined;
  let entries = new Map<string, LedgerEntry>();
  return {
    load: () => (head === undefined ? undefined : { head, entries: [...entries.values()] }),
    save: (next, delta) => {
      head = next;
      if (delta.base === undefined) entries = new Map();
      for (const { key } of delta.removed) entries.delete(key);
      for (const entry of delta.entries) entries.set(entry.key, entry);
    },
  };
}

/** As unforgeable as a signature within the simulation, and a hundred times faster. */
export function simulatedAuthority(self: Node, nodes: ReadonlyMap<NodeId, Node>, gullible: boolean): Authority {
  const signatureOf = (author: NodeId, head: Head, root: Uint8Array): Uint8Array =>
    createHash("sha256").update(`${author} ${head.epoch} ${head.revision}`).update(root).digest().subarray(0, 16);
  return {
    sign: ({ epoch, revision }, root) =>
      self.controlPlane
        ? { epoch, revision, root, author: self.id, signature: signatureOf(self.id, { epoch, revision }, root) }
        : undefined,
    verify: (head) =>
      gullible ||
      (nodes.get(head.author)?.controlPlane === true &&
        Buffer.compare(head.signature, signatureOf(head.author, head, head.root)) === 0),
  };
}
