import { AppError } from "../../../lib/app-error.ts";
import { newIdentity } from "../ids.ts";
import { type Connection, refusal } from "./connection.ts";

/** Numbered by position, forward only. */
const migrations: readonly string[] = [
  `
  -- One row, locked by the writer: all that is known of the newest state.
  CREATE TABLE state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    cluster_id bigint NOT NULL,
    member_id bigint NOT NULL,
    revision bigint NOT NULL,
    compact_revision bigint NOT NULL
  ) WITH (fillfactor = 10);

  -- One row, of whoever holds the keeper's lock: how far older versions were freed, and when leases were last looked at.
  CREATE TABLE keeper (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    compacted_revision bigint NOT NULL,
    looked_at timestamptz NOT NULL
  ) WITH (fillfactor = 10);

  -- Every change in order; version 0 is a deletion. sub orders changes within one revision.
  CREATE TABLE history (
    revision bigint NOT NULL,
    sub int NOT NULL,
    key bytea NOT NULL,
    create_revision bigint NOT NULL,
    version bigint NOT NULL,
    lease bigint NOT NULL,
    value bytea,
    PRIMARY KEY (revision, sub)
  );
  CREATE INDEX history_by_key ON history (key, revision DESC, sub DESC);

  -- The keys that exist now. Values stay in history alone, so that a put writes its value once.
  CREATE TABLE current (
    key bytea PRIMARY KEY,
    revision bigint NOT NULL,
    sub int NOT NULL,
    create_revision bigint NOT NULL,
    version bigint NOT NULL,
    lease bigint NOT NULL
  );
  CREATE INDEX current_by_lease ON current (lease) WHERE lease <> 0;

  CREATE TABLE lease (id bigint PRIMARY KEY, ttl_s bigint NOT NULL, ends_at timestamptz NOT NULL);
  CREATE INDEX lease_by_end ON lease (ends_at);
  CREATE TABLE alarm (kind int PRIMARY KEY);
  `,
];

/** One server at a time makes or changes tables. */
const schemaLock = "SELECT pg_advisory_xact_lock(7205941, 1)";

/** Makes what is missing of the tables, whoever of several servers comes first. */
export async function prepareSchema(connection: Connection, initialRevision: number): Promise<void> {
  try {
    await connection.rows(`BEGIN; ${schemaLock}`);
    const [exists] = await connection.rows("SELECT to_regnamespace('k8s_datastore') IS NOT NULL AS found", []);
    if (exists?.[0] !== true) await connection.rows("CREATE SCHEMA k8s_datastore");
    await connection.rows("CREATE TABLE IF NOT EXISTS schema_version (version int NOT NULL)");
    const [row] = await connection.rows("SELECT max(version) FROM schema_version", []);
    const have = (row?.[0] as number | null) ?? 0;
    if (have > migrations.length) throw newerSchema(have);
    for (const [index, sql] of migrations.entries()) {
      if (index < have) continue;
      await connection.rows(`${sql}; INSERT INTO schema_version VALUES (${index + 1})`);
    }
    // etcd's empty store stands at revision 1 and was never compacted, which it writes as -1.
    const compacted = initialRevision > 1 ? initialRevision : -1;
    const ids = [newIdentity().toString(), newIdentity().toString()];
    await connection.rows(
      "INSERT INTO state (cluster_id, member_id, revision, compact_revision) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
      [...ids, initialRevision, compacted],
    );
    await connection.rows(
      "INSERT INTO keeper (compacted_revision, looked_at) VALUES ($1, clock_timestamp()) ON CONFLICT DO NOTHING",
      [compacted],
    );
    await connection.rows("COMMIT");
  } catch (error) {
    throw error instanceof AppError ? error : refusal(error);
  }
}

function newerSchema(have: number): AppError {
  return new AppError(
    "conflict",
    `cannot use PostgreSQL: its schema ${have} is newer than this program knows (${migrations.length})`,
    { remedy: "use the program version that wrote it, or a newer one" },
  );
}

/** The row of `state`. */
export interface State {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly revision: number;
  readonly compactRevision: number;
}

export const stateColumns = "cluster_id, member_id, revision, compact_revision";

export function toState(row: readonly unknown[] | undefined): State {
  if (!row) throw new Error("the row of state is gone");
  const [clusterId, memberId, revision, compactRevision] = row.slice(0, 4) as [bigint, bigint, number, number];
  return { clusterId: BigInt(clusterId), memberId: BigInt(memberId), revision, compactRevision };
}
