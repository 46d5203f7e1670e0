import Database from "better-sqlite3";
import { AppError, errorCode } from "../../lib/app-error.ts";
import { newIdentity } from "./ids.ts";

/** Numbered by position, forward only. */
const migrations: readonly string[] = [
  `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  -- Every change in order; version 0 is a deletion. id orders changes within one revision.
  CREATE TABLE history (
    id INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    key BLOB NOT NULL,
    create_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    value BLOB
  ) STRICT;
  CREATE INDEX history_by_key ON history (key, revision);
  CREATE INDEX history_by_revision ON history (revision);

  -- The keys that exist now. Values stay in history alone, so that a put writes its value once.
  CREATE TABLE current (
    key BLOB PRIMARY KEY,
    history_id INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    create_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX current_by_lease ON current (lease) WHERE lease <> 0;

  CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_s INTEGER NOT NULL, remaining_ms INTEGER NOT NULL) STRICT;
  CREATE TABLE alarm (kind INTEGER PRIMARY KEY) STRICT;
  `,
  // Ids grow with revisions: change-order.ts.
  "DROP INDEX history_by_revision",
];

export interface Databases {
  /** Reads and writes. */
  readonly db: Database.Database;
  /** Reads one state while the other writes the next. */
  readonly reader: Database.Database;
  close(): void;
}

/** Opens the store, alone: a second process on the same file is refused. */
export function openDatabases(file: string, initialRevision: number): Databases {
  const lock = openLock(file);
  const db = new Database(file);
  try {
    // Free pages can be given back in slices; takes effect before the first table is made, or by a rewrite.
    const slices = db.pragma("auto_vacuum", { simple: true }) === 2;
    // Said again it would be written again, and a full disk has no room for that.
    if (!slices) db.pragma("auto_vacuum = INCREMENTAL");
    db.pragma("journal_mode = WAL");
    // Waits for the disk and folds of the log are `Disk`'s.
    db.pragma("synchronous = NORMAL");
    db.pragma("wal_autocheckpoint = 0");
    db.pragma("journal_size_limit = 33554432");
    migrate(db, file, initialRevision);
    if (!slices) db.exec("VACUUM");
    reserveLog(db);
    db.pragma("cache_size = -8000");
    const reader = new Database(file, { readonly: true });
    // What it keeps is worth nothing after the next commit.
    reader.pragma("cache_size = -1000");
    const close = () => {
      for (const each of [reader, db, lock]) each.close();
    };
    return { db, reader, close };
  } catch (error) {
    db.close();
    lock.close();
    throw error;
  }
}

/** Two connections cannot hold one file exclusively; so a file beside it stands for it. */
function openLock(file: string): Database.Database {
  const lock = new Database(`${file}.lock`, { timeout: 2_000 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    if (errorCode(error) === "SQLITE_BUSY") {
      throw new AppError("conflict", `cannot open datastore ${file}: another process uses it`, {
        remedy: "stop the other k8s-datastore or give this one its own --data-dir",
        cause: error,
      });
    }
    throw error;
  }
}

/** Bytes of log between two folds under load, with room for the commit that makes it long. */
const logBytes = 10_000_000;

/**
 * Makes the log as long as it gets, by a large write that is taken back before it counts. A commit that overwrites its log
 * needs no change of the file's length, which makes it a third shorter.
 */
function reserveLog(db: Database.Database): void {
  // A tiny cache makes SQLite write pages to the log before the transaction ends.
  db.pragma("cache_size = -200");
  try {
    db.exec(`BEGIN; CREATE TABLE reserve (bytes BLOB); INSERT INTO reserve VALUES (zeroblob(${logBytes})); ROLLBACK`);
  } catch (error) {
    // On a full disk the store still serves reads, and deletes as far as the log goes.
    if (errorCode(error) !== "SQLITE_FULL") throw error;
    if (db.inTransaction) db.exec("ROLLBACK");
  }
}

function migrate(db: Database.Database, file: string, initialRevision: number): void {
  const have = db.pragma("user_version", { simple: true }) as number;
  if (have > migrations.length) {
    throw new AppError(
      "conflict",
      `cannot open datastore ${file}: its schema ${have} is newer than this program knows (${migrations.length})`,
      { remedy: "use the program version that wrote it, or a newer one" },
    );
  }
  db.transaction(() => {
    for (const [index, sql] of migrations.entries()) {
      if (index < have) continue;
      db.exec(sql);
      db.pragma(`user_version = ${index + 1}`);
    }
    const insert = db.prepare("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING");
    insert.run("cluster_id", newIdentity());
    insert.run("member_id", newIdentity());
    // etcd's empty store stands at revision 1 and was never compacted, which it writes as -1.
    const compacted = initialRevision > 1 ? initialRevision : -1;
    insert.run("base_revision", initialRevision);
    insert.run("compact_revision", compacted);
    insert.run("compacted_revision", compacted);
  }).exclusive();
}
