import type { Database } from "better-sqlite3";
import type { KeyValue } from "../gen/etcd.ts";
import type { KeySpan } from "./key-range.ts";
import { createSpanQueries, type SpanQueries } from "./span-queries.ts";

/** One change, as watchers see it. A deletion carries only key and modRevision. */
export interface Change {
  readonly type: 0 | 1;
  readonly kv: KeyValue;
}

/**
 * The multi-version store over one connection. Reads see what the caller's own transaction wrote; whoever calls outside a
 * batch sees committed data only, because a batch runs to its end without yielding.
 */
export interface Store {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** The newest revision, including one that the running batch is writing. */
  revision(): number;
  compactRevision(): number;
  find(key: Uint8Array): KeyValue | undefined;
  list(span: KeySpan, limit: number): KeyValue[];
  count(span: KeySpan): number;
  listAt(span: KeySpan, revision: number, limit: number): KeyValue[];
  countAt(span: KeySpan, revision: number): number;
  /** The value a key had just before a revision; undefined if none is left. */
  previous(key: Uint8Array, revision: number): KeyValue | undefined;
  /** Changes from a revision on, oldest first, whole revisions only; more: true when there may be others after them. */
  changes(span: KeySpan, from: number, limit: number): { readonly changes: Change[]; readonly more: boolean };
  put(revision: number, key: Uint8Array, value: Uint8Array, lease: bigint): void;
  /** Deletes what exists in the span, in key order. */
  remove(revision: number, span: KeySpan): number;
  keysOfLease(lease: bigint): Uint8Array[];
  setCompactRevision(revision: number): void;
  /** Runs a batch in one transaction; what it changed is handed over once it is durable. */
  batch(run: () => void): Change[];
}

const noBytes = new Uint8Array(0);

export function createStore(db: Database): Store {
  const meta = new Map<string, bigint>();
  for (const row of db.prepare("SELECT name, value FROM meta").safeIntegers().all() as {
    name: string;
    value: bigint;
  }[]) {
    meta.set(row.name, row.value);
  }
  const number = (name: string): number => Number(meta.get(name) ?? 0n);
  const newest = db
    .prepare("SELECT coalesce(max(revision), 0) AS revision, coalesce(max(id), 0) AS id FROM history")
    .get() as { revision: number; id: number };

  let revision = Math.max(newest.revision, number("base_revision"));
  let lastId = newest.id;
  let compactRevision = number("compact_revision");
  let pending: Change[] = [];

  const queries: SpanQueries = createSpanQueries(db);
  const upsert = db
    .prepare(
      `INSERT INTO current (key, history_id, revision, create_revision, version, lease) VALUES (?, ?, ?, ?, 1, ?)
       ON CONFLICT (key) DO UPDATE SET history_id = excluded.history_id, revision = excluded.revision,
         version = version + 1, lease = excluded.lease
       RETURNING create_revision, version`,
    )
    .raw();
  const append = db.prepare(
    "INSERT INTO history (id, revision, key, create_revision, version, lease, value) VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  const drop = db.prepare("DELETE FROM current WHERE key = ?");
  const leaseKeys = db.prepare("SELECT key FROM current WHERE lease = ? ORDER BY key").pluck();
  const saveCompact = db.prepare("UPDATE meta SET value = ? WHERE name = 'compact_revision'");

  const begin = db.prepare("BEGIN IMMEDIATE");
  const commit = db.prepare("COMMIT");

  return {
    clusterId: meta.get("cluster_id") ?? 0n,
    memberId: meta.get("member_id") ?? 0n,
    revision: () => revision,
    compactRevision: () => compactRevision,
    ...queries,
    put(at, key, value, lease) {
      const id = ++lastId;
      const row = upsert.get(key, id, at, at, lease) as [number, number];
      append.run(id, at, key, row[0], row[1], lease, value);
      revision = at;
      const kv = { key, value, lease, createRevision: row[0], modRevision: at, version: row[1] };
      pending.push({ type: 0, kv });
    },
    remove(at, span) {
      const keys = queries.keys(span);
      for (const key of keys) {
        drop.run(key);
        append.run(++lastId, at, key, 0, 0, 0, null);
        const kv = { key, value: noBytes, lease: 0n, createRevision: 0, modRevision: at, version: 0 };
        pending.push({ type: 1, kv });
      }
      if (keys.length > 0) revision = at;
      return keys.length;
    },
    keysOfLease: (lease) => leaseKeys.all(lease) as Uint8Array[],
    setCompactRevision(at) {
      saveCompact.run(at);
      compactRevision = at;
    },
    batch(run) {
      const before = { revision, lastId, compactRevision };
      begin.run();
      try {
        run();
        commit.run();
        return pending;
      } catch (error) {
        if (db.inTransaction) db.exec("ROLLBACK");
        ({ revision, lastId, compactRevision } = before);
        throw error;
      } finally {
        pending = [];
      }
    },
  };
}
