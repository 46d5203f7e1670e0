import type { Written, WrittenChange } from "./batch.ts";
import type { Connection, Sql } from "./connection.ts";

/** Servers hear here who wrote and the newest revision. */
export const channel = "k8s_datastore";

const changesIf = (condition: string) => `
    WITH newest AS (
      UPDATE state SET revision = $15, compact_revision = $16 ${condition} RETURNING true AS done
    ), appended AS (
      INSERT INTO history (revision, sub, key, create_revision, version, lease, value)
      SELECT * FROM unnest($1::bigint[], $2::int[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[])
      WHERE (SELECT done FROM newest)
    ), kept AS (
      INSERT INTO current (revision, sub, key, create_revision, version, lease)
      SELECT * FROM unnest($8::bigint[], $9::int[], $10::bytea[], $11::bigint[], $12::bigint[], $13::bigint[])
      WHERE (SELECT done FROM newest)
      ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, sub = excluded.sub,
        create_revision = excluded.create_revision, version = excluded.version, lease = excluded.lease
    ), gone AS (
      DELETE FROM current WHERE key = ANY($14::bytea[]) AND (SELECT done FROM newest)
    )
    SELECT pg_notify('${channel}', $17) FROM newest`;
const changes: Sql = { name: "write-changes", text: changesIf("") };
/**
 * A whole batch and its commit in one statement, where the state is still the one that it was made for. All that changes
 * `current` changes the revision with it; so where that is the same, what the statement sees of `current` is the newest.
 */
const changesAtOnce: Sql = {
  name: "write-changes-at-once",
  text: changesIf(
    `WHERE revision = $18 AND compact_revision = $16 AND NOT EXISTS (SELECT FROM current WHERE key = ANY($19::bytea[]))`,
  ),
};
const compacted: Sql = {
  name: "write-compacted",
  text: `WITH newest AS (UPDATE state SET compact_revision = $1) SELECT pg_notify('${channel}', $2)`,
};
const leases: Sql = {
  name: "write-leases",
  text: `
    WITH gone AS (DELETE FROM lease WHERE id = ANY($1::bigint[]))
    INSERT INTO lease (id, ttl_s, ends_at)
    SELECT id, ttl, clock_timestamp() + make_interval(secs => ttl) FROM unnest($2::bigint[], $3::bigint[]) AS kept (id, ttl)
    ON CONFLICT (id) DO UPDATE SET ends_at = excluded.ends_at`,
};
const alarms: Sql = {
  name: "write-alarms",
  text: `
    WITH cleared AS (DELETE FROM alarm WHERE kind = ANY($1::int[]))
    INSERT INTO alarm SELECT unnest($2::int[]) ON CONFLICT DO NOTHING`,
};

/** Sends what a batch came to, in its transaction. No statements: there is nothing to commit. */
export function writeBatch(
  connection: Connection,
  written: Written,
  compactedBefore: number,
  serverId: string,
): Promise<unknown>[] {
  const { compactRevision } = written;
  const sent: Promise<unknown>[] = [];
  if (written.changes.length > 0) {
    sent.push(connection.rows(changes, rowsOf(written, serverId)));
  } else if (compactRevision !== compactedBefore) {
    sent.push(connection.rows(compacted, [compactRevision, toldOf(written, serverId)]));
  }
  if (written.leases.size > 0) {
    const kept = [...written.leases].flatMap(([id, lease]) => (lease ? [{ id, ttl: lease.ttl }] : []));
    const gone = [...written.leases].flatMap(([id, lease]) => (lease ? [] : [id]));
    sent.push(connection.rows(leases, [gone, kept.map(({ id }) => id), kept.map(({ ttl }) => ttl)]));
  }
  if (written.alarms.size > 0) {
    const kinds = (wanted: boolean) =>
      [...written.alarms].flatMap(([kind, raised]) => (raised === wanted ? [kind] : []));
    sent.push(connection.rows(alarms, [kinds(false), kinds(true)]));
  }
  return sent;
}

/** A batch of nothing but changes of keys, made for the state at a revision and for keys that do not exist in it: false where that is not so. */
export async function writeAtOnce(
  connection: Connection,
  written: Written,
  madeFor: number,
  absent: readonly Uint8Array[],
  serverId: string,
): Promise<boolean> {
  return (await connection.rows(changesAtOnce, [...rowsOf(written, serverId), madeFor, absent])).length > 0;
}

const toldOf = ({ revision }: Written, serverId: string): string => `${serverId} ${revision}`;

function rowsOf(written: Written, serverId: string): unknown[] {
  const last = [...written.keys.values()];
  const kept = last.filter(({ type }) => type === 0);
  const gone = last.filter(({ type }) => type === 1).map(({ kv }) => kv.key);
  const values = written.changes.map(({ type, kv }) => (type === 0 ? kv.value : null));
  const { revision, compactRevision } = written;
  const news = [revision, compactRevision, toldOf(written, serverId)];
  return [...columns(written.changes), values, ...columns(kept), gone, ...news];
}

function columns(changed: readonly WrittenChange[]): unknown[][] {
  return [
    changed.map(({ kv }) => kv.modRevision),
    changed.map(({ sub }) => sub),
    changed.map(({ kv }) => kv.key),
    changed.map(({ kv }) => kv.createRevision),
    changed.map(({ kv }) => kv.version),
    changed.map(({ kv }) => kv.lease),
  ];
}
