import type { NodeDb } from "./node-db.ts";

/** Who was in the cluster when this node last heard, so that it knows whom to ask and trust before it hears again. */
export interface RosterStore<M> {
  read(): readonly M[];
  write(members: readonly M[]): void;
}

export function createRosterStore<M>(db: NodeDb): RosterStore<M> {
  const read = db.prepare<[], { members: string }>("SELECT members FROM roster WHERE only_row = 1");
  const write = db.prepare<[string]>("INSERT OR REPLACE INTO roster (only_row, members) VALUES (1, ?)");
  return {
    read: () => JSON.parse(read.get()?.members ?? "[]") as M[],
    write: (members) => {
      write.run(JSON.stringify(members));
    },
  };
}
