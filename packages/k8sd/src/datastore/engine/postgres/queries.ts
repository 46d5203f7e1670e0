import type { KeyValue } from "../../gen/etcd.ts";
import type { KeySpan } from "../key-range.ts";
import type { Change, Past } from "../store.ts";
import type { Connection, Row, Sql } from "./connection.ts";
import { type State, toState } from "./schema.ts";

export interface LeaseState {
  readonly ttl: number;
  /** By the database's clock; 0 or less: it is over and not yet taken away. */
  readonly remainingMs: number;
}

/** Columns of `state`. */
const stateWidth = 4;
const noBytes = new Uint8Array(0);
const columnsOf = (table: string) =>
  ["key", "revision", "create_revision", "version", "lease", "value"].map((name) => `${table}.${name}`).join(", ");
const newest = "FROM current x JOIN history h ON h.revision = x.revision AND h.sub = x.sub";
const remaining = "(extract(epoch FROM ends_at - clock_timestamp()) * 1000)::float8";

type SpanSql = { readonly [K in KeySpan["kind"]]: Sql };
/** Three texts each, so that each gets a plan of its own. $1 and $2 are the span's ends; a span without an end has no use for $2. */
const perSpan = (name: string, text: (where: string) => string): SpanSql => ({
  one: { name: `${name}-one`, text: text("x.key = $1 AND $2::bytea IS NULL") },
  interval: { name: `${name}-interval`, text: text("x.key >= $1 AND x.key < $2") },
  from: { name: `${name}-from`, text: text("x.key >= $1 AND $2::bytea IS NULL") },
});
const ends = (span: KeySpan): readonly unknown[] => [span.key, span.kind === "interval" ? span.end : null];

const find: Sql = { name: "find", text: `SELECT ${columnsOf("h")} ${newest} WHERE x.key = ANY($1::bytea[])` };
/** One row at least: the state. */
const findWithState: Sql = {
  name: "find-with-state",
  text: `SELECT s.cluster_id, s.member_id, s.revision, s.compact_revision, ${columnsOf("h")}
    FROM state s LEFT JOIN (current x JOIN history h ON h.revision = x.revision AND h.sub = x.sub) ON x.key = ANY($1::bytea[])`,
};
const list = perSpan("list", (where) => `SELECT ${columnsOf("h")} ${newest} WHERE ${where} ORDER BY x.key LIMIT $3`);
const count = perSpan("count", (where) => `SELECT count(*) FROM current x WHERE ${where}`);
const at = (where: string, limit: string) =>
  `SELECT * FROM (SELECT DISTINCT ON (x.key) ${columnsOf("x")} FROM history x WHERE ${where} AND x.revision <= $3
     ORDER BY x.key, x.revision DESC, x.sub DESC) seen WHERE version > 0 ORDER BY key ${limit}`;
const listAt = perSpan("list-at", (where) => at(where, "LIMIT $4"));
const countAt = perSpan("count-at", (where) => `SELECT count(*) FROM (${at(where, "")}) counted`);
// Without its second condition a plan for any lease cannot use the index, which leaves out what has none.
const keysOfLease: Sql = {
  name: "lease-keys",
  text: "SELECT key FROM current WHERE lease = $1 AND lease <> 0 ORDER BY key",
};
const leases: Sql = { name: "leases", text: `SELECT id, ttl_s, ${remaining} FROM lease WHERE id = ANY($1::bigint[])` };
const allLeases: Sql = { name: "all-leases", text: `SELECT id, ttl_s, ${remaining} FROM lease ORDER BY ends_at` };
const changes = perSpan(
  "changes",
  (where) =>
    `SELECT ${columnsOf("x")} FROM history x WHERE ${where} AND x.revision BETWEEN $3 AND $4
     ORDER BY x.revision, x.sub LIMIT $5`,
);
const changesWithPrevious = perSpan(
  "changes-previous",
  (where) =>
    `SELECT ${columnsOf("x")}, ${columnsOf("p")} FROM (
       SELECT * FROM history x WHERE ${where} AND x.revision BETWEEN $3 AND $4 ORDER BY x.revision, x.sub LIMIT $5) x
     LEFT JOIN LATERAL (SELECT * FROM history o WHERE o.key = x.key AND o.revision < x.revision
       ORDER BY o.revision DESC, o.sub DESC LIMIT 1) p ON true
     ORDER BY x.revision, x.sub`,
);

type KeyValueRow = [Uint8Array, number, number, number, number | bigint, Uint8Array | null];

export function toKeyValue(row: Row, from = 0): KeyValue {
  const [key, modRevision, createRevision, version, lease, value] = row.slice(from, from + 6) as KeyValueRow;
  return { key, modRevision, createRevision, version, lease: BigInt(lease), value: value ?? noBytes };
}

/** Null: none. A negative limit: all of them. */
const limitOf = (limit: number): number | null => (limit < 0 ? null : limit);

export async function findKeys(connection: Connection, keys: readonly Uint8Array[]): Promise<KeyValue[]> {
  return (await connection.rows(find, [keys])).map((row) => toKeyValue(row));
}

/** Of one snapshot. */
export async function findKeysWithState(
  connection: Connection,
  keys: readonly Uint8Array[],
): Promise<{ readonly state: State; readonly kvs: readonly KeyValue[] }> {
  const rows = await connection.rows(findWithState, [keys]);
  const kvs = rows.flatMap((row) => (row[stateWidth] === null ? [] : [toKeyValue(row, stateWidth)]));
  return { state: toState(rows[0]), kvs };
}

export const fetchList = async (connection: Connection, span: KeySpan, limit: number): Promise<KeyValue[]> =>
  (await connection.rows(list[span.kind], [...ends(span), limitOf(limit)])).map((row) => toKeyValue(row));

export const fetchCount = async (connection: Connection, span: KeySpan): Promise<number> =>
  (await connection.rows(count[span.kind], ends(span)))[0]?.[0] as number;

export const fetchListAt = async (
  connection: Connection,
  span: KeySpan,
  revision: number,
  limit: number,
): Promise<KeyValue[]> =>
  (await connection.rows(listAt[span.kind], [...ends(span), revision, limitOf(limit)])).map((row) => toKeyValue(row));

export const fetchCountAt = async (connection: Connection, span: KeySpan, revision: number): Promise<number> =>
  (await connection.rows(countAt[span.kind], [...ends(span), revision]))[0]?.[0] as number;

export const fetchKeysOfLease = async (connection: Connection, lease: bigint): Promise<Uint8Array[]> =>
  (await connection.rows(keysOfLease, [lease])).map(([key]) => key as Uint8Array);

export async function fetchLeases(
  connection: Connection,
  ids: readonly bigint[] | "all",
): Promise<Map<bigint, LeaseState>> {
  const rows = ids === "all" ? await connection.rows(allLeases, []) : await connection.rows(leases, [ids]);
  return new Map(
    rows.map(([id, ttl, left]) => [BigInt(id as number | bigint), { ttl: ttl as number, remainingMs: left as number }]),
  );
}

/** Whole revisions, oldest first. */
export async function fetchChanges(
  connection: Connection,
  span: KeySpan,
  from: number,
  limit: number,
  withPrevious: boolean,
): Promise<Pick<Past, "changes" | "more">> {
  const sql = (withPrevious ? changesWithPrevious : changes)[span.kind];
  const read = async (first: number, last: number, most: number | null): Promise<Change[]> =>
    (await connection.rows(sql, [...ends(span), first, last, most])).map((row) => toChange(row, withPrevious));
  const found = await read(from, Number.MAX_SAFE_INTEGER, limit);
  if (found.length < limit) return { changes: found, more: false };
  // A revision must not be torn: drop the last, or, if it is the only one, read it to its end.
  const last = found.at(-1)?.kv.modRevision ?? from;
  if (found[0]?.kv.modRevision === last) return { changes: await read(last, last, null), more: true };
  return { changes: found.filter(({ kv }) => kv.modRevision !== last), more: true };
}

function toChange(row: Row, withPrevious: boolean): Change {
  const kv = toKeyValue(row);
  const type = kv.version === 0 ? 1 : 0;
  if (!withPrevious) return { type, kv };
  const hasPrevious = typeof row[9] === "number" && row[9] > 0;
  return { type, kv, previous: hasPrevious ? toKeyValue(row, 6) : undefined };
}
