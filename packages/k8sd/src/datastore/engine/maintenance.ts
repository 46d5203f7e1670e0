import { mkdtemp, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { crc32 } from "node:zlib";
import type { Database } from "better-sqlite3";
import { createFirstId } from "./change-order.ts";
import type { CommitQueue } from "./commit-queue.ts";
import type { Disk } from "./disk.ts";
import { etcdErrors } from "./etcd-error.ts";
import type { ReadView } from "./store.ts";

export interface Maintenance {
  /** Gives free pages back to the file system, in slices between the commits. */
  defragment(): Promise<void>;
  /** Of what readers at a revision can see. Ours alone: etcd hashes its own file format. */
  hash(revision: number): Promise<Hash>;
  /** A consistent copy in a file of its own; taken page by page while the store serves. */
  snapshot(): Promise<{ readonly file: string } & AsyncDisposable>;
}

export interface Hash {
  readonly hash: number;
  readonly compactRevision: number;
}

export interface MaintenanceDeps {
  readonly db: Database;
  readonly durable: Pick<ReadView, "revision" | "compactRevision">;
  readonly queue: CommitQueue;
  readonly disk: Pick<Disk, "foldLog">;
}

export type HashedChange = [key: Buffer, revision: number, created: number, version: number, value: Buffer | null];
type Row = [id: number, ...HashedChange];

/** Each slice is a few milliseconds of work; between them the event loop belongs to the clients. */
const pagesPerSlice = 100;
const rowsPerSlice = 500;

/** The hash with one more change. Equal content has equal hashes, whatever it is kept in. */
export function hashOf(sum: number, compacted: number, [key, revision, created, version, value]: HashedChange): number {
  // A deletion at or before the compaction may or may not have been freed yet.
  if (version === 0 && revision <= compacted) return sum;
  return crc32(value ?? "", crc32(key, crc32(`${revision} ${created} ${version} `, sum)));
}

export function createMaintenance({ db, durable, queue, disk }: MaintenanceDeps): Maintenance {
  const freePages = db.prepare("PRAGMA freelist_count").pluck();
  const visible = db
    .prepare(
      `SELECT id, key, revision, create_revision, version, value FROM history h
       WHERE id > :id AND id < :after AND (
         revision > :compacted OR id = (SELECT n.id FROM history n WHERE n.key = h.key AND n.revision <= :compacted
           ORDER BY n.revision DESC, n.id DESC LIMIT 1))
       ORDER BY id LIMIT ${rowsPerSlice}`,
    )
    .raw();
  const firstId = createFirstId(db);

  /** Undefined when a compaction came between: it takes away what was being read. */
  async function hashAt(at: number, compacted: number): Promise<number | undefined> {
    const after = firstId(at + 1);
    let sum = 0;
    let last: Row | undefined;
    for (;;) {
      const rows = visible.all({ id: last?.[0] ?? 0, after, compacted }) as Row[];
      for (const [, ...change] of rows) sum = hashOf(sum, compacted, change);
      if (rows.length < rowsPerSlice) return sum;
      last = rows.at(-1);
      await turn();
      if (durable.compactRevision() !== compacted) return undefined;
    }
  }

  return {
    async defragment() {
      while ((freePages.get() as number) > 0) {
        await queue.submit(() => db.pragma(`incremental_vacuum(${pagesPerSlice})`));
      }
      await queue.rest(() => disk.foldLog());
    },
    async hash(revision) {
      if (revision > durable.revision()) throw etcdErrors.futureRevision();
      for (;;) {
        const compactRevision = durable.compactRevision();
        if (revision < compactRevision) throw etcdErrors.compacted();
        const hash = await hashAt(revision, compactRevision);
        if (hash !== undefined) return { hash, compactRevision };
      }
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
