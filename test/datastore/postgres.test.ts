import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openWatchLog } from "./differential/watch-log.ts";
import { repeat, repeatMs } from "./history/repeat.ts";
import { expectSound } from "./history/sound.ts";
import { bytes, defaults, type EtcdCalls } from "./support/etcd-calls.ts";
import type { openConnection } from "./support/grpc-client.ts";
import { type Postgres, startPostgres } from "./support/postgres.ts";
import { recordTwo, twoServers } from "./support/two-servers.ts";

const everything = { ...defaults.watch, key: bytes("\0"), rangeEnd: bytes("\0"), prevKv: true };

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres?.[Symbol.asyncDispose]());

describe("two servers on one database", () => {
  test("each watch sees what both write, in order and once; revisions have no gaps", async () => {
    await using servers = await twoServers(postgres);
    const logs = servers.connections.map(openWatchLog);
    for (const log of logs) await log.create({ ...everything, startRevision: 2 });
    const writes = 60;
    const write = async (calls: EtcdCalls, name: string) => {
      for (let at = 0; at < writes; at++) {
        await calls.put({ ...defaults.put, key: bytes(`k${at % 7}`), value: bytes(`${name} ${at}`) });
        if (at % 5 === 0) await calls.remove({ ...defaults.remove, key: bytes(`k${(at + 3) % 7}`) });
      }
    };
    const writers = servers.calls.flatMap((calls, server) => [0, 1].map((each) => write(calls, `${server}.${each}`)));
    await Promise.all(writers);
    const { header } = await servers.calls[0].range({ ...defaults.range, key: bytes("k0") });
    const newest = header?.revision ?? 0;
    for (const log of logs) await log.progress(newest);
    const seen = logs.map((log) => (log.watches[0]?.events ?? []) as { kv: { modRevision: number } }[]);
    const revisions = (seen[0] ?? []).map(({ kv }) => kv.modRevision);
    expect(revisions).toEqual(Array.from({ length: newest - 1 }, (_, at) => at + 2));
    expect(newest).toBeGreaterThan(4 * writes);
    expect(seen[1]).toEqual(seen[0]);
    for (const log of logs) log.close();
  });

  test("nothing of a key reads a table from its beginning, although plans are made while the tables are empty", async () => {
    await using servers = await twoServers(postgres);
    const puts = 200;
    for (let at = 0; at < puts; at++) {
      await servers.calls[0].put({ ...defaults.put, key: bytes(`p${at}`), value: bytes("v") });
      const { kvs } = await servers.calls[1].range({ ...defaults.range, key: bytes(`p${at}`) });
      expect(kvs).toHaveLength(1);
    }
    const counts = async () => {
      const sql = `SELECT sum(idx_scan)::int AS by_index, sum(seq_tup_read)::int AS read FROM pg_stat_user_tables
        WHERE relname IN ('history', 'current')`;
      return (await postgres.run(servers.url, sql))[0] as { by_index: number; read: number };
    };
    // Sessions tell what they did when they have been idle for a while.
    await expect.poll(async () => (await counts()).by_index, { timeout: 60_000 }).toBeGreaterThanOrEqual(puts);
    expect((await counts()).read).toBe(0);
  });

  test("what one knows of a key counts until the other one writes, and a key that it has not seen keeps its past", async () => {
    await using servers = await twoServers(postgres);
    const [first, second] = servers.calls;
    const put = async (calls: EtcdCalls, key: string, value: string) =>
      (await calls.put({ ...defaults.put, key: bytes(key), value: bytes(value), prevKv: true })).prevKv;
    const was = (value: string, version: number, createRevision: number) =>
      expect.objectContaining({ value: bytes(value), version, createRevision });
    // Nobody else writes: from some write on, the whole of it is one statement.
    for (let at = 1; at <= 5; at++) await put(first, "k", `first ${at}`);
    const sql =
      "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%NOT EXISTS (SELECT FROM current WHERE%' AND pid <> pg_backend_pid()";
    expect(await postgres.run(servers.url, sql)).toHaveLength(1);
    expect(await put(second, "k", "second")).toEqual(was("first 5", 5, 2));
    expect(await put(first, "k", "first 6")).toEqual(was("second", 6, 2));
    await second.remove({ ...defaults.remove, key: bytes("k") });
    expect(await put(first, "k", "first 7")).toBeUndefined();
    for (let at = 1; at <= 5; at++) await put(second, `new ${at}`, "new");
    expect(await put(second, "k", "second 2")).toEqual(was("first 7", 1, 10));
    const { kvs } = await first.range({ ...defaults.range, key: bytes("k") });
    expect(kvs).toEqual([was("second 2", 2, 10)]);
  });

  test("a write that one acknowledged is what the other one reads, and comes before what it watches from now on", async () => {
    await using servers = await twoServers(postgres);
    const [one, other] = servers.calls;
    for (let at = 0; at < 30; at++) {
      const value = bytes(String(at));
      const { header } = await one.put({ ...defaults.put, key: bytes("a"), value });
      const log = openWatchLog(servers.connections[1] as ReturnType<typeof openConnection>);
      const [{ kvs }, created] = await Promise.all([
        other.range({ ...defaults.range, key: bytes("a") }),
        log.create(everything),
      ]);
      expect(kvs[0]?.value).toEqual(value);
      expect((created as { header: number }).header).toBeGreaterThanOrEqual(header?.revision ?? 0);
      expect(log.watches[0]?.events ?? []).toEqual([]);
      log.close();
    }
  });

  test("a lease lives by renewals at either one, and ends when nobody renews it, also after its keeper is gone", async () => {
    await using servers = await twoServers(postgres);
    const [one, other] = servers.calls;
    await one.grant({ id: 7n, ttl: 3 });
    await one.put({ ...defaults.put, key: bytes("leased"), lease: 7n });
    const count = async () => (await other.range({ ...defaults.range, key: bytes("leased") })).count;
    for (let renewal = 0; renewal < 4; renewal++) {
      await delay(1_500); // half a life
      expect(await other.keepAlive(7n)).toMatchObject({ ttl: 3 });
    }
    expect(await count()).toBe(1);
    // Whichever kept leases: the one that is left does it now.
    await servers.all[0]?.kill("SIGKILL");
    await expect.poll(count, { timeout: 20_000 }).toBe(0);
    expect(await other.life({ id: 7n, keys: false })).toMatchObject({ ttl: -1 });
  });

  test("one of them frees what was compacted; the other one goes on with it when the first is gone", async () => {
    await using servers = await twoServers(postgres);
    const [one, other] = servers.calls;
    const rows = async () =>
      (await postgres.run(servers.url, "SELECT count(*)::int AS rows FROM k8s_datastore.history"))[0];
    const keepers = async () =>
      (
        await postgres.run(
          servers.url,
          `SELECT count(*)::int AS keepers FROM pg_locks WHERE locktype = 'advisory' AND granted
           AND classid = 7205941 AND objid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
        )
      )[0];
    const put = async (calls: EtcdCalls) =>
      (await calls.put({ ...defaults.put, key: bytes("a") })).header?.revision ?? 0;
    for (let at = 0; at < 20; at++) await put(one);
    await one.compact({ revision: await put(other), physical: true });
    expect(await rows()).toEqual({ rows: 1 });
    expect(await keepers()).toEqual({ keepers: 1 });
    const revision = await put(other);
    await servers.all[0]?.kill("SIGKILL");
    await other.compact({ revision, physical: true });
    await expect.poll(rows, { timeout: 20_000 }).toEqual({ rows: 1 });
    await expect(other.range({ ...defaults.range, key: bytes("a"), revision: revision - 1 })).rejects.toThrow(
      "compacted",
    );
  });

  test(
    "a concurrent history over both, and kill -9 of one, is linearizable and its watches are reliable",
    { timeout: repeatMs },
    () =>
      repeat(async (seed) => {
        await using servers = await twoServers(postgres);
        const crash = async () => {
          await servers.all[0]?.kill("SIGKILL");
          await delay(500);
          await servers.again(0);
        };
        return expectSound(seed, await recordTwo(servers, seed, crash));
      }),
  );
});
