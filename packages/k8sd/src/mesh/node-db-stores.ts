import { z } from "zod";
import type { NodeDb } from "../node-db/node-db.ts";
import type { CachedPeer, PeerCache } from "./address-book.ts";
import type { LedgerEntry, SignedHead } from "./messages.ts";
import type { ReplicaStore } from "./replica.ts";

const addressList = z.array(z.string());

/** Of the tables of the mesh. Losing what is in them costs a node a full pull, never correctness. */
export function createReplicaStore(db: NodeDb): ReplicaStore {
  const readHead = db.prepare<[], SignedHead>(
    "SELECT epoch, revision, root, author, signature FROM replica_head WHERE only_row = 1",
  );
  const readEntries = db.prepare<[], LedgerEntry>("SELECT key, value, revision FROM replica_entry");
  const writeHead = db.prepare<[number, number, Uint8Array, string, Uint8Array]>(
    `INSERT OR REPLACE INTO replica_head (only_row, epoch, revision, root, author, signature)
     VALUES (1, ?, ?, ?, ?, ?)`,
  );
  const writeEntry = db.prepare<[string, string, number]>(
    "INSERT OR REPLACE INTO replica_entry (key, value, revision) VALUES (?, ?, ?)",
  );
  const deleteEntry = db.prepare<[string]>("DELETE FROM replica_entry WHERE key = ?");
  const deleteAll = db.prepare("DELETE FROM replica_entry");
  const save = db.transaction((head: SignedHead, delta: Parameters<ReplicaStore["save"]>[1]) => {
    if (delta.base === undefined) deleteAll.run();
    for (const { key } of delta.removed) deleteEntry.run(key);
    for (const { key, value, revision } of delta.entries) writeEntry.run(key, value, revision);
    writeHead.run(head.epoch, head.revision, head.root, head.author, head.signature);
  });
  return {
    load: () => {
      const head = readHead.get();
      return head === undefined ? undefined : { head, entries: readEntries.all() };
    },
    save: (head, delta) => {
      save(head, delta);
    },
  };
}

export function createPeerCache(db: NodeDb): PeerCache {
  const read = db.prepare<[], { id: string; incarnation: number; addresses: string }>(
    "SELECT id, incarnation, addresses FROM mesh_peer",
  );
  const deleteAll = db.prepare("DELETE FROM mesh_peer");
  const write = db.prepare<[string, number, string]>(
    "INSERT INTO mesh_peer (id, incarnation, addresses) VALUES (?, ?, ?)",
  );
  const save = db.transaction((peers: readonly CachedPeer[]) => {
    deleteAll.run();
    for (const { id, incarnation, addresses } of peers) write.run(id, incarnation, JSON.stringify(addresses));
  });
  return {
    load: () =>
      read.all().map(({ id, incarnation, addresses }) => ({
        id,
        incarnation,
        addresses: addressList.parse(JSON.parse(addresses)),
      })),
    save: (peers) => {
      save(peers);
    },
  };
}

/** The node is out of its cluster: of the next one it knows nothing yet. */
export function forgetMesh(db: NodeDb): void {
  db.exec("DELETE FROM replica_head; DELETE FROM replica_entry; DELETE FROM mesh_peer");
}
