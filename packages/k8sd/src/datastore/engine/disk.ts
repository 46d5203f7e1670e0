import { closeSync, fdatasync, fdatasyncSync, fsyncSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { performance } from "node:perf_hooks";
import { promisify } from "node:util";
import Database from "better-sqlite3";
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
  /** True now and then, when something is to be done to the log; asked after each commit. */
  longLog(): boolean;
  /**
   * Does it, in two steps: most of the log is moved into the file while commits go on, which is not waited for; then what came
   * meanwhile, which commits wait for, and the log begins anew.
   */
  shortenLog(): Promise<void>;
  /** Moves all of the log into the file, and cuts off what the file no longer needs. No commit may run meanwhile; reads may. */
  foldLog(): Promise<void>;
  /** Waits for what still runs; before the database is closed. */
  settle(): Promise<void>;
  /** After the database was closed: a closed file takes the process's locks on it away. */
  close(): void;
}

/** Pages of log between two folds: some milliseconds of work for each. What comes while one runs still fits into the reserve. */
const longLog = 1_500;
/** The log's length is asked for at every so many commits. */
const commitsBetweenLooks = 8;
const quickMs = 5;

const syncFile = promisify(fdatasync);

export function openDisk(db: Database.Database, logger: Logger): Disk {
  const log = openSync(`${db.name}-wal`, "r+");
  const file = openSync(db.name, "r+");
  syncDirectory(dirname(db.name));
  const measure = db.prepare("PRAGMA wal_checkpoint(NOOP)").raw();
  const guard = new Database(db.name, { readonly: true });
  const beginGuard = guard.prepare("BEGIN");
  const readAnything = guard.prepare("SELECT 1 FROM meta LIMIT 1");
  const endGuard = guard.prepare("COMMIT");
  let commits = 0;
  let lastMs = 0;
  /** A copy that commits do not wait for. */
  let beside: { over: boolean; readonly end: Promise<void> } | undefined;

  /**
   * SQLite's own order, with the waits off the event loop: the log is durable, pages are copied, the file is made durable, and
   * only then the log may begin anew. A reader at its end keeps SQLite from that; if the disk fails it stays there, so that a
   * close leaves the log as it is.
   */
  async function copyLog(): Promise<void> {
    beginGuard.run();
    readAnything.get();
    db.pragma("synchronous = OFF");
    try {
      db.pragma("wal_checkpoint(PASSIVE)");
    } catch (error) {
      // A file that cannot grow: nothing is lost, the log goes on until there is room.
      logger.warn({ err: error }, "Cannot fold the log");
    } finally {
      db.pragma("synchronous = NORMAL");
    }
    await syncFile(file);
    endGuard.run();
  }

  async function foldLog(): Promise<void> {
    await beside?.end;
    beside = undefined;
    await copyLog();
  }

  function copyBeside(): void {
    const copy = { over: false, end: copyLog() };
    const done = () => {
      copy.over = true;
    };
    // A failure is told to who waits for the end.
    copy.end.then(done, done);
    beside = copy;
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
      if (beside) return beside.over;
      if (++commits % commitsBetweenLooks !== 0) return false;
      const [, pages] = measure.get() as [number, number, number];
      return pages >= longLog;
    },
    async shortenLog() {
      if (beside) await foldLog();
      else copyBeside();
    },
    foldLog,
    async settle() {
      await beside?.end.catch(() => undefined);
      if (!guard.inTransaction) guard.close();
    },
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
