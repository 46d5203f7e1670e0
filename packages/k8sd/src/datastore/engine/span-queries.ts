import type { Database, Statement } from "better-sqlite3";
import type { KeyValue } from "../gen/etcd.ts";
import { createFirstId } from "./change-order.ts";
import type { KeySpan } from "./key-range.ts";
import { createPackedList, type PackedList, type PackedRows, type Row, rowsOf } from "./packed-list.ts";
import type { Change, Past, ReadView } from "./store.ts";

type PerSpan<T> = { readonly [K in KeySpan["kind"]]: T };

export type SpanQueries = Required<Omit<ReadView, "revision" | "compactRevision">> & {
  keys(span: KeySpan): Uint8Array[];
  /** The value a key had just before a revision; undefined if none is left. */
  previous(key: Uint8Array, revision: number): KeyValue | undefined;
  changes(span: KeySpan, from: number, limit: number): Pick<Past, "changes" | "more">;
};

type Found = [id: number, revision: number, created: number, version: number, lease: number, value: Uint8Array | null];

const noBytes = new Uint8Array(0);
const isExact = (lease: number | bigint): boolean => typeof lease === "bigint" || Number.isSafeInteger(lease);
const newestOfAll = Number.MAX_SAFE_INTEGER;
const columns = "h.id, h.key, h.revision, h.create_revision, h.version, h.lease, h.value";
/** The newest version of a key up to a revision: what a reader at that revision sees. */
const visible = `h.version > 0 AND h.id = (
  SELECT n.id FROM history n WHERE n.key = h.key AND n.revision <= +:at ORDER BY n.revision DESC, n.id DESC LIMIT 1)`;

/**
 * All reads that address keys. Three texts each (one key, interval, from a key on), so that SQLite plans each well. It plans a
 * statement anew each time another value is bound to a parameter that its planner looked at, which takes longer than the read
 * itself; it does not look behind a plus.
 */
export function createSpanQueries(db: Database): SpanQueries {
  const perSpan = (sql: (where: string) => string): PerSpan<Statement> => {
    const prepare = (where: string) => db.prepare(sql(where)).raw();
    return {
      one: prepare("x.key = +:key"),
      interval: prepare("x.key >= +:key AND x.key < +:end"),
      from: prepare("x.key >= +:key"),
    };
  };
  const packedPerSpan = (sql: (where: string) => string): PerSpan<PackedList> => ({
    one: createPackedList(db, sql("x.key = +:key")),
    interval: createPackedList(db, sql("x.key >= +:key AND x.key < +:end")),
    from: createPackedList(db, sql("x.key >= +:key")),
  });
  const list = packedPerSpan(
    (where) =>
      `SELECT ${columns} FROM current x JOIN history h ON h.id = x.history_id WHERE ${where} ORDER BY x.key LIMIT +:limit`,
  );
  const count = perSpan((where) => `SELECT count(*) FROM current x WHERE ${where}`);
  const keys = perSpan((where) => `SELECT x.key FROM current x WHERE ${where} ORDER BY x.key`);
  const past = (where: string) => where.replaceAll("x.", "h.");
  const listAt = packedPerSpan(
    (where) =>
      `SELECT ${columns} FROM history h WHERE ${past(where)} AND h.revision <= +:at AND ${visible} ORDER BY h.key LIMIT +:limit`,
  );
  const countAt = perSpan(
    (where) => `SELECT count(*) FROM history h WHERE ${past(where)} AND h.revision <= +:at AND ${visible}`,
  );
  // Spans are walked in order of change; the unary plus keeps the planner from sorting a key range instead.
  const changes = perSpan((where) =>
    where === "x.key = +:key"
      ? `SELECT ${columns} FROM history h WHERE h.key = +:key AND h.revision BETWEEN +:at AND +:to ORDER BY h.revision, h.id LIMIT +:limit`
      : `SELECT ${columns} FROM history h WHERE h.id >= +:first AND h.id < +:after AND ${where.replaceAll("x.", "+h.")} ORDER BY h.id LIMIT +:limit`,
  );
  const firstId = createFirstId(db);
  // Without the key, which the caller has: each blob costs a Buffer.
  const find = db
    .prepare(
      `SELECT h.id, x.revision, x.create_revision, x.version, x.lease, h.value
       FROM current x JOIN history h ON h.id = x.history_id WHERE x.key = +?`,
    )
    .raw();
  const previous = db
    .prepare(
      `SELECT ${columns} FROM history h WHERE h.key = +? AND h.revision < +? ORDER BY h.revision DESC, h.id DESC LIMIT 1`,
    )
    .raw();
  const leaseKeys = db.prepare("SELECT key FROM current WHERE lease = +? AND lease <> 0 ORDER BY key").pluck();
  const exactLease = db.prepare("SELECT lease FROM history WHERE id = +?").pluck().safeIntegers();

  // Lease ids may use all 64 bits, which a JavaScript number cannot hold; those few are read again exactly.
  const leaseOf = (id: number, lease: number | bigint): bigint => {
    if (lease === 0) return 0n;
    return isExact(lease) ? BigInt(lease) : (exactLease.get(id) as bigint);
  };
  const withLeases = (page: PackedRows): PackedRows => {
    for (const [index, lease] of page.leases.entries()) {
      if (!isExact(lease)) page.leases[index] = exactLease.get(page.ids[index]) as bigint;
    }
    return page;
  };
  const toKeyValue = (row: Row): KeyValue => ({
    key: row[1],
    modRevision: row[2],
    createRevision: row[3],
    version: row[4],
    lease: leaseOf(row[0], row[5]),
    value: row[6] ?? noBytes,
  });
  const endOf = (span: KeySpan) => (span.kind === "interval" ? { end: span.end } : {});
  const parameters = (span: KeySpan, more: Record<string, number>) => ({ key: span.key, ...endOf(span), ...more });
  const readChanges = (span: KeySpan, at: number, to: number, limit: number): Row[] => {
    const bounds =
      span.kind === "one"
        ? { at, to }
        : { first: firstId(at), after: to < newestOfAll ? firstId(to + 1) : Number.MAX_SAFE_INTEGER };
    return changes[span.kind].all(parameters(span, { ...bounds, limit })) as Row[];
  };
  const toChange = (row: Row): Change => ({ type: row[4] === 0 ? 1 : 0, kv: toKeyValue(row) });

  return {
    find(key) {
      const row = find.get(key) as Found | undefined;
      if (!row) return undefined;
      const [id, modRevision, createRevision, version, lease, value] = row;
      return { key, modRevision, createRevision, version, lease: leaseOf(id, lease), value: value ?? noBytes };
    },
    list: (span, limit) => rowsOf(list[span.kind](span.key, endOf(span), limit)).map(toKeyValue),
    packed: (span, limit) => list[span.kind](span.key, endOf(span), limit).map(withLeases),
    count: (span) => (count[span.kind].get(parameters(span, {})) as [number])[0],
    keys: (span) => (keys[span.kind].all(parameters(span, {})) as [Uint8Array][]).map((row) => row[0]),
    listAt: (span, at, limit) => rowsOf(listAt[span.kind](span.key, { ...endOf(span), at }, limit)).map(toKeyValue),
    packedAt: (span, at, limit) => listAt[span.kind](span.key, { ...endOf(span), at }, limit).map(withLeases),
    countAt: (span, at) => (countAt[span.kind].get(parameters(span, { at })) as [number])[0],
    previous(key, revision) {
      const row = previous.get(key, revision) as Row | undefined;
      return row && row[4] > 0 ? toKeyValue(row) : undefined;
    },
    keysOfLease: (lease) => leaseKeys.all(lease) as Uint8Array[],
    changes(span, from, limit) {
      const rows = readChanges(span, from, newestOfAll, limit);
      if (rows.length < limit) return { changes: rows.map(toChange), more: false };
      // A revision must not be torn: drop the last, or, if it is the only one, read it to its end.
      const last = rows.at(-1)?.[2] ?? from;
      if (rows[0]?.[2] === last) {
        return { changes: readChanges(span, last, last, -1).map(toChange), more: true };
      }
      return { changes: rows.filter((row) => row[2] !== last).map(toChange), more: true };
    },
  };
}
