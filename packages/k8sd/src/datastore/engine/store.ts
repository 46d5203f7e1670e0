import type { Database } from "better-sqlite3";
import type { KeyValue } from "../gen/etcd.ts";
import { createCounts } from "./counts.ts";
import { etcdErrors } from "./etcd-error.ts";
import type { KeySpan } from "./key-range.ts";
import type { PackedRows } from "./packed-list.ts";
import { createSpanQueries, type SpanQueries } from "./span-queries.ts";

/** One change, as watchers see it. A deletion carries only key and modRevision. */
export interface Change {
  readonly type: 0 | 1;
  readonly kv: KeyValue;
  /** What the key was before the revision, from a store that does not look it up when it is asked. */
  readonly previous?: KeyValue | undefined;
}

/** What can be read at one state of the store. */
export interface ReadView {
  /** The newest revision. */
  revision(): number;
  compactRevision(): number;
  find(key: Uint8Array): KeyValue | undefined;
  list(span: KeySpan, limit: number): KeyValue[];
  count(span: KeySpan): number;
  listAt(span: KeySpan, revision: number, limit: number): KeyValue[];
  countAt(span: KeySpan, revision: number): number;
  /** The lists without an object for each row, from a store that reads them so. */
  packed?(span: KeySpan, limit: number): PackedRows[];
  packedAt?(span: KeySpan, revision: number, limit: number): PackedRows[];
  keysOfLease(lease: bigint): Uint8Array[];
}

/** What watches are fed from. */
export interface HistoryView {
  /** The newest revision that was published. */
  revision(): number;
  compactRevision(): number;
  /** Changes from a revision on, oldest first, whole revisions only. A store that answers later fails only when it stops. */
  changes(span: KeySpan, from: number, limit: number, withPrevious: boolean): Past | Promise<Past>;
  /** What a key was before a change; undefined if nothing is left of it. For changes read with it, or just published. */
  previous(change: Change): KeyValue | undefined;
}

export interface Past {
  readonly changes: Change[];
  /** True when there may be others after them. */
  readonly more: boolean;
  /** Of the state they were read from. */
  readonly revision: number;
  readonly compactRevision: number;
}

/** What a batch sees and does: reads show what it wrote itself. */
export interface BatchView extends ReadView {
  put(revision: number, key: Uint8Array, value: Uint8Array, lease: bigint): void;
  /** Deletes what exists in the span, in key order. */
  remove(revision: number, span: KeySpan): number;
  setCompactRevision(revision: number): void;
}

/** The multi-version store. A change is seen by readers once it is durable, and not before. */
export interface Store {
  /** For everybody: what is durable. */
  readonly durable: ReadView & HistoryView & { readonly clusterId: bigint; readonly memberId: bigint };
  /** For the work inside of `batch` alone. */
  readonly running: BatchView;
  /** Runs a batch in one transaction and gives what it changed; between `hold` and `settle`. */
  batch(run: () => void): Change[];
  /** `durable` stays as it is now, whatever is written, until `settle`. */
  hold(): void;
  /** Everything written is durable. */
  settle(): void;
  /** The last batch, before which nothing was held, may not be durable: nobody reads any more. */
  forsake(): void;
}

interface State {
  readonly revision: number;
  readonly compactRevision: number;
}

const noBytes = new Uint8Array(0);

/** @param reader a second connection to the same file, which can stay at one state while the first one writes. */
export function createStore(db: Database, reader: Database): Store {
  const meta = new Map<string, bigint>();
  for (const row of db.prepare("SELECT name, value FROM meta").safeIntegers().all() as {
    name: string;
    value: bigint;
  }[]) {
    meta.set(row.name, row.value);
  }
  const number = (name: string): number => Number(meta.get(name) ?? 0n);
  const newest = db.prepare("SELECT revision, id FROM history ORDER BY id DESC LIMIT 1").get() as
    | { revision: number; id: number }
    | undefined;

  let lastId = newest?.id ?? 0;
  let state: State = {
    revision: Math.max(newest?.revision ?? 0, number("base_revision")),
    compactRevision: number("compact_revision"),
  };
  let pending: Change[] = [];
  /** What the last batch found. */
  let before = { state, lastId };

  const counts = createCounts();
  /** Changes that `counts` does not know yet. */
  let unsettled: Change[] = [];

  const own = createSpanQueries(db);
  const past = createSpanQueries(reader);
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
  const saveCompact = db.prepare("UPDATE meta SET value = ? WHERE name = 'compact_revision'");
  const begin = db.prepare("BEGIN IMMEDIATE");
  const commit = db.prepare("COMMIT");
  const beginReading = reader.prepare("BEGIN");
  const readAnything = reader.prepare("SELECT 1 FROM meta LIMIT 1");
  const endReading = reader.prepare("COMMIT");

  const identity = { clusterId: meta.get("cluster_id") ?? 0n, memberId: meta.get("member_id") ?? 0n };
  /** The durable state while something newer is being written; readers then use the second connection. */
  let held: State | undefined;
  let forsaken = false;
  const readable = (): SpanQueries => {
    if (forsaken) throw etcdErrors.stopped();
    return held ? past : own;
  };

  return {
    durable: {
      ...identity,
      revision: () => (held ?? state).revision,
      compactRevision: () => (held ?? state).compactRevision,
      find: (key) => readable().find(key),
      list: (span, limit) => readable().list(span, limit),
      count(span) {
        const queries = readable();
        return counts.of(span, () => queries.count(span));
      },
      listAt: (span, at, limit) => readable().listAt(span, at, limit),
      countAt: (span, at) => readable().countAt(span, at),
      packed: (span, limit) => readable().packed(span, limit),
      packedAt: (span, at, limit) => readable().packedAt(span, at, limit),
      keysOfLease: (lease) => readable().keysOfLease(lease),
      changes: (span, from, limit) =>
        forsaken
          ? Promise.reject(etcdErrors.stopped())
          : { ...readable().changes(span, from, limit), ...(held ?? state) },
      previous: ({ kv }) => readable().previous(kv.key, kv.modRevision),
    },
    running: {
      ...own,
      revision: () => state.revision,
      compactRevision: () => state.compactRevision,
      put(at, key, value, lease) {
        const id = ++lastId;
        const row = upsert.get(key, id, at, at, lease) as [number, number];
        append.run(id, at, key, row[0], row[1], lease, value);
        state = { ...state, revision: at };
        const kv = { key, value, lease, createRevision: row[0], modRevision: at, version: row[1] };
        pending.push({ type: 0, kv });
      },
      remove(at, span) {
        const keys = own.keys(span);
        for (const key of keys) {
          drop.run(key);
          append.run(++lastId, at, key, 0, 0, 0, null);
          const kv = { key, value: noBytes, lease: 0n, createRevision: 0, modRevision: at, version: 0 };
          pending.push({ type: 1, kv });
        }
        if (keys.length > 0) state = { ...state, revision: at };
        return keys.length;
      },
      setCompactRevision(at) {
        saveCompact.run(at);
        state = { ...state, compactRevision: at };
      },
    },
    batch(run) {
      before = { state, lastId };
      begin.run();
      try {
        run();
        commit.run();
        if (held) unsettled = unsettled.concat(pending);
        else counts.follow(pending);
        return pending;
      } catch (error) {
        if (db.inTransaction) db.exec("ROLLBACK");
        ({ state, lastId } = before);
        throw error;
      } finally {
        pending = [];
      }
    },
    hold() {
      beginReading.run();
      // A transaction gets its state with its first read.
      readAnything.get();
      held = state;
    },
    settle() {
      held = undefined;
      endReading.run();
      counts.follow(unsettled);
      unsettled = [];
    },
    forsake() {
      forsaken = true;
      held = before.state;
    },
  };
}
