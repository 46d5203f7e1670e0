import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import Database from "better-sqlite3";
import { AppError } from "../lib/app-error.ts";
import { migrations } from "./migrations.ts";

/** The SQLite database of this node: identity, journal of operations, audit log. One process has it open. */
export type NodeDb = Database.Database & Disposable;

/** @param file absolute path, or ":memory:" in tests. */
export function openNodeDb(file: string): NodeDb {
  if (file !== ":memory:") mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const db = new Database(file);
  db.pragma("journal_mode = WAL");
  // The journal promises that a step is recorded before it runs: every commit reaches the disk.
  db.pragma("synchronous = FULL");
  db.pragma("foreign_keys = ON");
  db.pragma("busy_timeout = 5000");
  migrate(db, file);
  return Object.assign(db, { [Symbol.dispose]: () => void db.close() });
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
