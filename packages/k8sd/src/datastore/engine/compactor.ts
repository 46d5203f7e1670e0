import { setTimeout as pause } from "node:timers/promises";
import type { Database } from "better-sqlite3";
import type { Logger } from "pino";
import { createFirstId } from "./change-order.ts";
import type { CommitQueue } from "./commit-queue.ts";
import { EtcdError, etcdErrors } from "./etcd-error.ts";
import type { BatchView, ReadView } from "./store.ts";

/** Changes looked at in one slice: about 2 ms, so that writers hardly notice. */
const sliceSize = 500;
/** Between slices the event loop belongs to the clients. */
const pauseMs = 5;

export interface Compactor {
  /** Makes older revisions unreadable at once; the room is freed in the background, or before the answer when physical. */
  compact(revision: number, physical: boolean): Promise<void>;
  /** Goes on with what an earlier process left. */
  resume(): void;
  stop(): Promise<void>;
}

export interface CompactorDeps {
  readonly db: Database;
  readonly durable: Pick<ReadView, "compactRevision">;
  readonly running: Pick<BatchView, "revision" | "compactRevision" | "setCompactRevision">;
  readonly queue: CommitQueue;
  readonly log: Logger;
}

export function createCompactor({ db, durable, running, queue, log }: CompactorDeps): Compactor {
  const done = db.prepare("SELECT value FROM meta WHERE name = 'compacted_revision'").pluck();
  const saveDone = db.prepare("UPDATE meta SET value = ? WHERE name = 'compacted_revision'");
  // A change up to the compaction makes older versions of its key invisible; a deletion before it makes itself so.
  const slice = db
    .prepare("SELECT id, key, revision, version FROM history WHERE id >= ? AND id < ? ORDER BY id LIMIT ?")
    .raw();
  const firstId = createFirstId(db);
  const older = db.prepare("DELETE FROM history WHERE key = ? AND revision <= ? AND id < ?");
  const self = db.prepare("DELETE FROM history WHERE id = ?");

  const stopping = new AbortController();
  let freeing: Promise<void> = Promise.resolve();

  /** Frees one slice; gives the id where to go on from, or undefined at the end. */
  function freeSlice(from: number, to: number): number | undefined {
    const rows = slice.all(from, firstId(to + 1), sliceSize) as [number, Uint8Array, number, number][];
    for (const [id, key, revision, version] of rows) {
      if (version !== 1) older.run(key, revision, id);
      if (version === 0 && revision < to) self.run(id);
    }
    const last = rows.at(-1);
    const unfinished = rows.length === sliceSize && last !== undefined;
    saveDone.run(unfinished ? last[2] : to);
    return unfinished ? last[0] + 1 : undefined;
  }

  async function free(): Promise<void> {
    for (;;) {
      const to = durable.compactRevision();
      const begin = done.get() as number;
      if (begin >= to) return;
      let from: number | undefined = firstId(begin);
      while (from !== undefined) {
        if (stopping.signal.aborted) return;
        const start: number = from;
        from = await queue.submit(() => freeSlice(start, to));
        await pause(pauseMs, undefined, { signal: stopping.signal });
      }
      log.debug({ revision: to }, "Compacted");
    }
  }

  const run = (): Promise<void> => {
    freeing = freeing.then(free).catch((error: unknown) => {
      const stopped = stopping.signal.aborted || error instanceof EtcdError;
      if (!stopped) log.error({ err: error }, "Compaction failed; it goes on at the next one");
    });
    return freeing;
  };

  return {
    async compact(revision, physical) {
      await queue.submit(() => {
        if (revision <= running.compactRevision()) throw etcdErrors.compacted();
        if (revision > running.revision()) throw etcdErrors.futureRevision();
        running.setCompactRevision(revision);
      });
      const freed = run();
      if (physical) await freed;
    },
    resume: () => void run(),
    async stop() {
      stopping.abort();
      await freeing;
    },
  };
}
