import { setTimeout as pause } from "node:timers/promises";
import type { Database } from "better-sqlite3";
import type { Logger } from "pino";
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

/** Changes up to here were looked at; id orders those of one revision. */
interface Cursor {
  readonly revision: number;
  readonly id: number;
}

export function createCompactor({ db, durable, running, queue, log }: CompactorDeps): Compactor {
  const done = db.prepare("SELECT value FROM meta WHERE name = 'compacted_revision'").pluck();
  const saveDone = db.prepare("UPDATE meta SET value = ? WHERE name = 'compacted_revision'");
  // A change up to the compaction makes older versions of its key invisible; a deletion before it makes itself so.
  const slice = db
    .prepare(
      `SELECT id, key, revision, version FROM history WHERE revision BETWEEN ? AND ? AND id > ?
       ORDER BY revision, id LIMIT ?`,
    )
    .raw();
  const older = db.prepare("DELETE FROM history WHERE key = ? AND revision <= ? AND id < ?");
  const self = db.prepare("DELETE FROM history WHERE id = ?");

  const stopping = new AbortController();
  let freeing: Promise<void> = Promise.resolve();

  /** Frees one slice; gives where to go on from, or undefined at the end. */
  function freeSlice(from: Cursor, to: number): Cursor | undefined {
    const rows = slice.all(from.revision, to, from.id, sliceSize) as [number, Uint8Array, number, number][];
    for (const [id, key, revision, version] of rows) {
      if (version !== 1) older.run(key, revision, id);
      if (version === 0 && revision < to) self.run(id);
    }
    const last = rows.at(-1);
    const next = rows.length < sliceSize || !last ? undefined : { revision: last[2], id: last[0] };
    saveDone.run(next ? next.revision : to);
    return next;
  }

  async function free(): Promise<void> {
    for (;;) {
      const to = durable.compactRevision();
      let from: Cursor | undefined = { revision: done.get() as number, id: 0 };
      if (from.revision >= to) return;
      while (from !== undefined) {
        if (stopping.signal.aborted) return;
        const start: Cursor = from;
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
