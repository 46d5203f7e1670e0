import { mkdtemp, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import type { Database } from "better-sqlite3";
import { etcdErrors } from "./etcd-error.ts";
import type { Store } from "./store.ts";

export interface Maintenance {
  /** Gives free pages back to the file system. Holds everything else up, as etcd's does. */
  defragment(): void;
  /** Of what readers at a revision can see. Ours alone: etcd hashes its own file format. */
  hash(revision: number): number;
  /** A consistent copy in a file of its own; taken page by page while the store serves. */
  snapshot(): Promise<{ readonly file: string } & AsyncDisposable>;
}

export function createMaintenance(db: Database, store: Pick<Store, "revision" | "compactRevision">): Maintenance {
  const rows = db
    .prepare(
      `SELECT key, revision, create_revision, version, value FROM history h WHERE revision <= :at AND (
         revision > :compacted OR id = (SELECT n.id FROM history n WHERE n.key = h.key AND n.revision <= :compacted
           ORDER BY n.revision DESC, n.id DESC LIMIT 1))
       ORDER BY revision, id`,
    )
    .raw();
  return {
    defragment() {
      db.exec("VACUUM");
      db.pragma("wal_checkpoint(TRUNCATE)");
    },
    hash(revision) {
      if (revision > store.revision()) throw etcdErrors.futureRevision();
      if (revision < store.compactRevision()) throw etcdErrors.compacted();
      let sum = 0;
      const found = rows.iterate({ at: revision, compacted: store.compactRevision() });
      for (const [key, at, created, version, value] of found as Iterable<
        [Buffer, number, number, number, Buffer | null]
      >) {
        // A deletion at or before the compaction may or may not have been freed yet.
        if (version === 0 && at <= store.compactRevision()) continue;
        sum = crc32(value ?? "", crc32(key, crc32(`${at} ${created} ${version} `, sum)));
      }
      return sum;
    },
    async snapshot() {
      const folder = await mkdtemp(join(dirname(db.name), "snapshot-"));
      const remove = () => rm(folder, { recursive: true, force: true });
      const file = join(folder, "snapshot.db");
      try {
        await db.backup(file);
      } catch (error) {
        await remove();
        throw error;
      }
      return { file, [Symbol.asyncDispose]: remove };
    },
  };
}
