import { closeSync, fdatasync, fdatasyncSync, fsyncSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { performance } from "node:perf_hooks";
import { promisify } from "node:util";
import type { Database } from "better-sqlite3";
import type { Logger } from "pino";

/**
 * When what SQLite wrote becomes durable. SQLite itself does not wait for the disk at a commit (synchronous = NORMAL); the
 * wait is here, off the event loop, and a commit counts only after it. Together that is what synchronous = FULL does.
 */
export interface Disk {
  /** All that was committed survives a power-off. */
  sync(): Promise<void>;
  /** The same, while the event loop stands still. */
  syncHere(): void;
  /** The last wait was no longer than what a full batch does to the event loop. */
  quick(): boolean;
  /** True now and then, when the log should be folded; asked after each commit. */
  longLog(): boolean;
  /** Moves the log into the file, and cuts off what the file no longer needs. No commit may run meanwhile; reads may. */
  foldLog(): Promise<void>;
  /** After the database was closed: a closed file takes the process's locks on it away. */
  close(): void;
}

/** Pages of log between two folds: some milliseconds of work for each. */
const longLog = 2_000;
/** The log's length is asked for at every so many commits. */
const commitsBetweenLooks = 8;
const quickMs = 5;

const syncFile = promisify(fdatasync);

export function openDisk(db: Database, logger: Logger): Disk {
  const log = openSync(`${db.name}-wal`, "r+");
  const file = openSync(db.name, "r+");
  syncDirectory(dirname(db.name));
  const measure = db.prepare("PRAGMA wal_checkpoint(NOOP)").raw();
  let commits = 0;
  let lastMs = 0;

  /** SQLite's own order, with the waits off the event loop: the log is durable, pages are copied, the file is made durable. */
  async function fold(): Promise<void> {
    db.pragma("synchronous = OFF");
    try {
      db.pragma("wal_checkpoint(PASSIVE)");
    } catch (error) {
      // A file that cannot grow: nothing is lost, the log goes on until there is room.
      logger.warn({ err: error }, "Cannot fold the log");
    } finally {
      db.pragma("synchronous = NORMAL");
    }
    // Until this is done nothing is committed, so the log is not begun anew.
    await syncFile(file);
  }

  return {
    async sync() {
      const start = performance.now();
      await syncFile(log);
      lastMs = performance.now() - start;
    },
    syncHere() {
      const start = performance.now();
      fdatasyncSync(log);
      lastMs = performance.now() - start;
    },
    quick: () => lastMs <= quickMs,
    longLog() {
      if (++commits % commitsBetweenLooks !== 0) return false;
      const [, pages] = measure.get() as [number, number, number];
      return pages >= longLog;
    },
    foldLog: fold,
    close() {
      closeSync(log);
      closeSync(file);
    },
  };
}

/** The names of files just made are durable too. */
function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
