import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { bytes, defaults, etcdCalls } from "./support/etcd-calls.ts";
import { openConnection } from "./support/grpc-client.ts";
import { startEngine, temporaryFolder } from "./support/servers.ts";

const key = bytes("leased");

describe("leases over a restart", () => {
  test("an orderly stop keeps the remaining life; renewal gives the whole life again", async () => {
    await using folder = await temporaryFolder();
    const dataDir = join(folder.path, "data");
    const before = await startEngine({ dataDir });
    const first = openConnection(before.endpoint);
    await etcdCalls(first).grant({ id: 7n, ttl: 100 });
    await etcdCalls(first).put({ ...defaults.put, key, lease: 7n });
    await delay(2_100); // what is tested is time itself
    first.close();
    await before.kill("SIGTERM");

    await using after = await startEngine({ dataDir });
    const connection = openConnection(after.endpoint);
    const calls = etcdCalls(connection);
    const life = await calls.life({ id: 7n, keys: true });
    expect(life).toMatchObject({ grantedTtl: 100, keys: [key] });
    expect(life.ttl).toBeLessThanOrEqual(97);
    expect(life.ttl).toBeGreaterThan(80);
    expect(await calls.keepAlive(7n)).toMatchObject({ ttl: 100 });
    expect((await calls.life({ id: 7n, keys: false })).ttl).toBeGreaterThanOrEqual(99);
    connection.close();
  });

  test("after a kill a lease lives on, ends by itself, and takes its keys along", async () => {
    await using folder = await temporaryFolder();
    const dataDir = join(folder.path, "data");
    const before = await startEngine({ dataDir });
    const first = openConnection(before.endpoint);
    await etcdCalls(first).grant({ id: 7n, ttl: 2 });
    await etcdCalls(first).put({ ...defaults.put, key, lease: 7n });
    first.close();
    await before.kill("SIGKILL");

    await using after = await startEngine({ dataDir });
    const connection = openConnection(after.endpoint);
    const calls = etcdCalls(connection);
    const count = async () => (await calls.range({ ...defaults.range, key })).count;
    expect(await count()).toBe(1);
    await expect.poll(count, { timeout: 15_000 }).toBe(0);
    expect(await calls.life({ id: 7n, keys: false })).toMatchObject({ ttl: -1, grantedTtl: 0 });
    await expect(calls.put({ ...defaults.put, key, lease: 7n })).rejects.toThrow("requested lease not found");
    connection.close();
  });

  test("a lease kept alive outlives many of its lives, and ends when nobody keeps it", async () => {
    await using folder = await temporaryFolder();
    await using engine = await startEngine({ dataDir: join(folder.path, "data") });
    const connection = openConnection(engine.endpoint);
    const calls = etcdCalls(connection);
    await calls.grant({ id: 7n, ttl: 2 });
    for (let renewal = 0; renewal < 4; renewal++) {
      await delay(1_000); // half a life
      expect(await calls.keepAlive(7n)).toMatchObject({ ttl: 2 });
    }
    const life = async () => (await calls.life({ id: 7n, keys: false })).ttl;
    await expect.poll(life, { timeout: 10_000 }).toBe(-1);
    connection.close();
  });
});
