import type { Database } from "better-sqlite3";
import type { Logger } from "pino";
import { alarmType } from "../wire.ts";
import type { CommitQueue } from "./commit-queue.ts";
import { etcdErrors } from "./etcd-error.ts";

/** How large the store may grow, and the alarm that stays raised after it did until an operator takes it back. */
export interface Room {
  /** Refuses a write that needs room when there is none. */
  check(): void;
  size(): { readonly total: number; readonly inUse: number };
  readonly quota: number;
  alarms(): readonly number[];
  raise(kind: number): Promise<void>;
  clear(kind: number): Promise<boolean>;
}

/** The size is read again after this many checks: a pragma on each write would cost more than it tells. */
const checksBetweenReads = 32;

export function createRoom(db: Database, queue: CommitQueue, quota: number, log: Logger): Room {
  const insert = db.prepare("INSERT OR IGNORE INTO alarm (kind) VALUES (?)");
  const erase = db.prepare("DELETE FROM alarm WHERE kind = ?");
  const raised = new Set(db.prepare("SELECT kind FROM alarm").pluck().all() as number[]);
  let checks = 0;
  let full = false;

  const page = db.pragma("page_size", { simple: true }) as number;
  const pageCount = db.prepare("PRAGMA page_count").pluck();
  const freePages = db.prepare("PRAGMA freelist_count").pluck();
  const size = () => {
    const pages = pageCount.get() as number;
    return { total: page * pages, inUse: page * (pages - (freePages.get() as number)) };
  };
  async function raise(kind: number): Promise<void> {
    if (raised.has(kind)) return;
    raised.add(kind);
    await queue.submit(() => insert.run(kind));
  }

  return {
    quota,
    size,
    alarms: () => [...raised],
    raise,
    check() {
      if (raised.has(alarmType.noSpace)) throw etcdErrors.noSpace();
      if (checks++ % checksBetweenReads === 0 || full) full = size().total > quota;
      if (!full) return;
      log.error({ quota, size: size().total }, "Datastore is full: compact, defragment, then disarm the alarm");
      raise(alarmType.noSpace).catch((error: unknown) => log.error({ err: error }, "Cannot keep the alarm"));
      throw etcdErrors.noSpace();
    },
    async clear(kind) {
      if (!raised.delete(kind)) return false;
      full = false;
      checks = 0;
      await queue.submit(() => erase.run(kind));
      return true;
    },
  };
}
