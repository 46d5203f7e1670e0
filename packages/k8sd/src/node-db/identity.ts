import type { NodeDb } from "./node-db.ts";

/** What the node remembers of itself between starts, also when the datastore is away. */
export interface NodeIdentity<View> {
  readonly id: string;
  readonly clusterId: string;
  readonly view: View;
}

export interface IdentityStore<View> {
  read(): NodeIdentity<View> | undefined;
  /** The one write that makes a node a member: after it, and only after it, the node is initialised. */
  commit(identity: NodeIdentity<View>, atMs: number): void;
  clear(): void;
}

/** @param renewed what of a view, written by the program as it was then, the program of today knows better */
export function createIdentityStore<View>(
  db: NodeDb,
  renewed: (view: View) => View = (view) => view,
): IdentityStore<View> {
  const read = db.prepare<[], { id: string; cluster_id: string; view: string }>(
    "SELECT id, cluster_id, view FROM node WHERE only_row = 1",
  );
  const write = db.prepare<[string, string, string, number]>(
    "INSERT OR REPLACE INTO node (only_row, id, cluster_id, view, committed_at) VALUES (1, ?, ?, ?, ?)",
  );
  const clear = db.prepare("DELETE FROM node");
  return {
    read: () => {
      const row = read.get();
      return row && { id: row.id, clusterId: row.cluster_id, view: renewed(JSON.parse(row.view) as View) };
    },
    commit: (identity, atMs) => {
      write.run(identity.id, identity.clusterId, JSON.stringify(identity.view), atMs);
    },
    clear: () => {
      clear.run();
    },
  };
}
