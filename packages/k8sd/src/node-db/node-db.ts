import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import Database from "better-sqlite3";
import { AppError } from "../lib/app-error.ts";
import { migrations } from "./migrations.ts";

/** The SQLite database of this node: identity, journal of operations, audit log. One process has it open. */
export type NodeDb = Database.Database & Disposable;

/** @param file absolute path, or ":memory:" in tests. */
export function openNodeDb(file: string): NodeDb {
  if (file !== ":memory:") makePrivate(file);
  const db = new Database(file);
  db.pragma("journal_mode = WAL");
  // The journal promises that a step is recorded before it runs: every commit reaches the disk.
  db.pragma("synchronous = FULL");
  // Secrets of an operation are there until it ends, and not a moment longer.
  db.pragma("secure_delete = ON");
  db.pragma("foreign_keys = ON");
  db.pragma("busy_timeout = 5000");
  migrate(db, file);
  if (file !== ":memory:") reserveRoom(db);
  return Object.assign(db, { [Symbol.dispose]: () => void db.close() });
}

/** To look at what the process that has it open recorded, or had. @param file of a database that is there */
export function readNodeDb(file: string): NodeDb {
  const db = new Database(file, { readonly: true, fileMustExist: true, timeout: 5_000 });
  return Object.assign(db, { [Symbol.dispose]: () => void db.close() });
}

/** SQLite gives its log the mode of the file. */
function makePrivate(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  closeSync(openSync(file, "a", 0o600));
  chmodSync(file, 0o600);
}

/** Enough for every record of several operations. */
const reservedBytes = 512 * 1024;

/**
 * Takes room on the disk now, in the database and in its log, so that the journal can be written when the disk is full:
 * what was begun must be taken back then. The log is used again from its beginning before it gets longer than this.
 */
function reserveRoom(db: Database.Database): void {
  db.pragma(`wal_autocheckpoint = ${reservedBytes / 4096 / 2}`);
  try {
    db.exec("CREATE TABLE IF NOT EXISTS reserve (filler BLOB)");
    db.prepare("INSERT INTO reserve VALUES (zeroblob(?))").run(reservedBytes);
    db.exec("DROP TABLE reserve");
    db.pragma("wal_checkpoint(RESTART)");
  } catch (error) {
    // A daemon that starts on a full disk can do nothing but say so later.
    if (!(error instanceof Database.SqliteError && error.code === "SQLITE_FULL")) throw error;
  }
}

function migrate(db: Database.Database, file: string): void {
  const current = Number(db.pragma("user_version", { simple: true }));
  if (current > migrations.length) {
    throw new AppError(
      "conflict",
      `cannot open ${file}: its schema version ${current} is newer than ${migrations.length}, the newest this k8sd knows`,
      { remedy: "Run the k8sd version that wrote it, or a newer one." },
    );
  }
  for (const [index, sql] of migrations.entries()) {
    if (index < current) continue;
    db.transaction(() => {
      db.exec(sql);
      db.pragma(`user_version = ${index + 1}`);
    })();
  }
}
