import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import type { Connection, Sql } from "./connection.ts";
import type { Session } from "./session.ts";

export interface KeeperDeps {
  /** Of its own: it holds the lock. */
  readonly session: Session;
  /** Ends a lease if its life is over. */
  readonly expire: (lease: bigint) => Promise<void>;
  readonly log: Logger;
}

/** What one server at a time does for all: it ends leases and frees what was compacted. The others stand by. */
export interface Keeper {
  /** Until everything up to a revision is freed, by whichever server. */
  freed(revision: number): Promise<void>;
  stop(): Promise<void>;
}

/** etcd's own pace: a lease ends at most this much late. */
const lookMs = 500;
/** A shorter pause between two looks is their own pace; time beyond it is given back to the leases. */
const pauseMs = 3_000;
/** How often the time of the look is written down. */
const noteMs = 1_000;
const expiredAtOnce = 1_000;
/** Changes looked at in one slice. */
const sliceSize = 1_000;
/** Waiting for another server's freeing. */
const freedPollMs = 50;

const lock = "SELECT pg_try_advisory_lock(7205941, 2)";
const gap = "clock_timestamp() - (SELECT looked_at FROM keeper)";
/** Nobody could renew while nobody looked; but no lease gets more than its whole life. */
const giveBack: Sql = {
  name: "give-back",
  text: `
    UPDATE lease SET ends_at = least(ends_at + (${gap}), clock_timestamp() + make_interval(secs => ttl_s))
    WHERE ${gap} > make_interval(secs => $1)`,
};
const note = "UPDATE keeper SET looked_at = clock_timestamp()";
const expired: Sql = {
  name: "expired",
  text: "SELECT id FROM lease WHERE ends_at <= clock_timestamp() ORDER BY ends_at LIMIT $1",
};
const someLease = "SELECT EXISTS (SELECT FROM lease)";
const compaction = "SELECT compacted_revision, compact_revision FROM keeper, state";
/** A change up to the compaction makes older versions of its key invisible; a deletion before it makes itself so. */
const freeSlice: Sql = {
  name: "free-slice",
  text: `
    WITH slice AS (
      SELECT revision, sub, key, version FROM history WHERE (revision, sub) > ($1, $2) AND revision <= $3
      ORDER BY revision, sub LIMIT ${sliceSize}
    ), older AS (
      DELETE FROM history h USING slice s
      WHERE h.key = s.key AND (h.revision, h.sub) < (s.revision, s.sub) AND s.version <> 1
    ), self AS (
      DELETE FROM history h USING slice s
      WHERE h.revision = s.revision AND h.sub = s.sub AND s.version = 0 AND s.revision < $3
    )
    SELECT revision, sub FROM slice ORDER BY revision DESC, sub DESC LIMIT 1`,
};
const saveFreed: Sql = { name: "save-freed", text: "UPDATE keeper SET compacted_revision = $1" };
const freedUpTo = "SELECT compacted_revision FROM keeper";

export function createKeeper({ session, expire, log }: KeeperDeps): Keeper {
  const stopping = new AbortController();
  const { signal } = stopping;
  let wake = new AbortController();
  let holder: Connection | undefined;
  let notedAt = 0;

  async function look(connection: Connection): Promise<void> {
    if (holder !== connection) {
      if ((await connection.rows(lock))[0]?.[0] !== true) return;
      holder = connection;
      notedAt = 0;
      log.info("Keeps leases and compaction for all servers of this database");
    }
    await endLeases(connection);
    await free(connection);
  }

  async function endLeases(connection: Connection): Promise<void> {
    if ((await connection.rows(someLease))[0]?.[0] !== true) return;
    await connection.rows(giveBack, [pauseMs / 1000]);
    if (performance.now() - notedAt > noteMs) {
      await connection.rows(note);
      notedAt = performance.now();
    }
    const over = await connection.rows(expired, [expiredAtOnce]);
    await Promise.all(over.map(([id]) => expire(BigInt(id as number | bigint))));
  }

  async function free(connection: Connection): Promise<void> {
    const [row] = await connection.rows(compaction);
    const [done, to] = (row ?? []) as [number, number];
    if (done >= to) return;
    let cursor: [number, number] = [done, -1];
    while (!signal.aborted) {
      const [last] = (await connection.rows(freeSlice, [...cursor, to])) as [number, number][];
      if (!last) break;
      cursor = last;
      await connection.rows(saveFreed, [last[0]]);
    }
    if (signal.aborted) return;
    await connection.rows(saveFreed, [to]);
    log.debug({ revision: to }, "Compacted");
  }

  async function keep(): Promise<void> {
    while (!signal.aborted) {
      try {
        await session.use(look);
      } catch (error) {
        if (!signal.aborted) log.warn({ err: error }, "Cannot look after leases and compaction");
      }
      await pause(lookMs, undefined, { signal: AbortSignal.any([signal, wake.signal]) }).catch(() => {});
      if (wake.signal.aborted) wake = new AbortController();
    }
  }
  const keeping = keep();

  return {
    async freed(revision) {
      wake.abort();
      while (!signal.aborted) {
        const [row] = await session.use((connection) => connection.rows(freedUpTo));
        if ((row?.[0] as number) >= revision) return;
        await pause(freedPollMs, undefined, { signal });
      }
    },
    async stop() {
      stopping.abort();
      await keeping;
      await session.end();
    },
  };
}
