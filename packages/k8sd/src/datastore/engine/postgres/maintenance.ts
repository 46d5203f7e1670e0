import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { etcdErrors } from "../etcd-error.ts";
import { type HashedChange, hashOf, type Maintenance } from "../maintenance.ts";
import { openDatabases } from "../schema.ts";
import type { Connect, Connection, Sql } from "./connection.ts";
import { stateColumns, toState } from "./schema.ts";
import { createSession } from "./session.ts";

const rowsPerSlice = 1_000;
const vacuumMs = 10 * 60_000;

const begin = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT ${stateColumns} FROM state`;
const visible: Sql = {
  name: "visible",
  text: `
    SELECT revision, sub, key, create_revision, version, value FROM history h
    WHERE (revision, sub) > ($1, $2) AND revision <= $3 AND (
      revision > $4 OR (revision, sub) = (SELECT n.revision, n.sub FROM history n
        WHERE n.key = h.key AND n.revision <= $4 ORDER BY n.revision DESC, n.sub DESC LIMIT 1))
    ORDER BY revision, sub LIMIT ${rowsPerSlice}`,
};
const history: Sql = {
  name: "copy-history",
  text: `
    SELECT revision, sub, key, create_revision, version, lease, value FROM history
    WHERE (revision, sub) > ($1, $2) ORDER BY revision, sub LIMIT ${rowsPerSlice}`,
};
const leases = "SELECT id, ttl_s, (extract(epoch FROM ends_at - clock_timestamp()) * 1000)::bigint FROM lease";
const alarms = "SELECT kind FROM alarm";
const freed = "SELECT compacted_revision FROM keeper";

/** @param scratch a folder for the copies of snapshots. */
export function createMaintenance(connect: Connect, scratch: string): Maintenance {
  /** Each has a connection of its own: it takes long, and is rare. */
  async function onConnection<T>(run: (connection: Connection) => Promise<T>): Promise<T> {
    const session = createSession(connect);
    try {
      return await session.use(run);
    } finally {
      await session.end();
    }
  }

  return {
    defragment: () =>
      onConnection(async (connection) => {
        await connection.rows({ name: "vacuum-history", text: "VACUUM history", deadlineMs: vacuumMs });
        await connection.rows({ name: "vacuum-current", text: "VACUUM current", deadlineMs: vacuumMs });
      }),
    hash: (revision) =>
      onConnection(async (connection) => {
        const { revision: newest, compactRevision } = toState((await connection.rows(begin))[0]);
        if (revision > newest) throw etcdErrors.futureRevision();
        if (revision < compactRevision) throw etcdErrors.compacted();
        let hash = 0;
        for (let cursor: [number, number] | undefined = [0, 0]; cursor; ) {
          const rows = await connection.rows(visible, [...cursor, revision, compactRevision]);
          for (const [at, , key, created, version, value] of rows) {
            hash = hashOf(hash, compactRevision, [key, at, created, version, value] as HashedChange);
          }
          cursor = rows.length < rowsPerSlice ? undefined : (rows.at(-1)?.slice(0, 2) as [number, number]);
        }
        return { hash, compactRevision };
      }),
    /** In the form of the embedded store, so that it can be restored there and read anywhere. */
    async snapshot() {
      await mkdir(scratch, { recursive: true, mode: 0o700 });
      const folder = await mkdtemp(join(scratch, "snapshot-"));
      const remove = () => rm(folder, { recursive: true, force: true });
      const file = join(folder, "snapshot.db");
      try {
        await onConnection((connection) => copyInto(file, connection));
      } catch (error) {
        await remove();
        throw error;
      }
      return { file, [Symbol.asyncDispose]: remove };
    },
  };
}

async function copyInto(file: string, connection: Connection): Promise<void> {
  const state = toState((await connection.rows(begin))[0]);
  const databases = openDatabases(file, state.revision);
  try {
    const { db } = databases;
    const setMeta = db.prepare("UPDATE meta SET value = ? WHERE name = ?");
    const meta = { cluster_id: state.clusterId, member_id: state.memberId, compact_revision: state.compactRevision };
    for (const [name, value] of Object.entries(meta)) setMeta.run(value, name);
    setMeta.run((await connection.rows(freed))[0]?.[0], "compacted_revision");
    const append = db.prepare(
      "INSERT INTO history (revision, key, create_revision, version, lease, value) VALUES (?, ?, ?, ?, ?, ?)",
    );
    for (let cursor: [number, number] | undefined = [0, 0]; cursor; ) {
      const rows = await connection.rows(history, cursor);
      db.transaction(() => {
        for (const [revision, , ...rest] of rows) append.run(revision, ...rest);
      })();
      cursor = rows.length < rowsPerSlice ? undefined : (rows.at(-1)?.slice(0, 2) as [number, number]);
    }
    // The newest version of each key, where it is no deletion.
    db.exec(`
      INSERT INTO current (key, history_id, revision, create_revision, version, lease)
      SELECT key, id, revision, create_revision, version, lease FROM history h
      WHERE version > 0 AND id = (SELECT max(n.id) FROM history n WHERE n.key = h.key)`);
    const grant = db.prepare("INSERT INTO lease (id, ttl_s, remaining_ms) VALUES (?, ?, ?)");
    for (const [id, ttl, remaining] of await connection.rows(leases))
      grant.run(id, ttl, Math.max(0, remaining as number));
    const raise = db.prepare("INSERT INTO alarm (kind) VALUES (?)");
    for (const [kind] of await connection.rows(alarms)) raise.run(kind);
    // All of it in the one file that is sent.
    db.pragma("wal_checkpoint(TRUNCATE)");
  } finally {
    databases.close();
  }
}
