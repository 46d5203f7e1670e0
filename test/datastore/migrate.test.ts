import { join } from "node:path";
import { createEtcdClient } from "@k8sd/k8sd/datastore/client.ts";
import { isCompacted } from "@k8sd/k8sd/datastore/client-errors.ts";
import type { Datastore, WatchBatch } from "@k8sd/k8sd/datastore/datastore.ts";
import { startCopy } from "@k8sd/k8sd/datastore/migrate/copy.ts";
import { createDigests, keysOf } from "@k8sd/k8sd/datastore/migrate/digests.ts";
import { openStore, type StoreAccess } from "@k8sd/k8sd/datastore/migrate/store-access.ts";
import { describe, expect, test } from "vitest";
import { etcdPrograms, type Server, startEngine, startEtcd, temporaryFolder } from "./support/servers.ts";

const keys = 10_000;
/** Enough for what is written here meanwhile; where the revision has to be raised by writes, it takes as many. */
const margin = 30_000;
const writers = 4;
/** Most of it raises a revision, which waits for the disk. */
const maxMs = 300_000;

type Kind = "etcd" | "ours";

async function startServer(kind: Kind, dataDir: string, args: readonly string[] = []): Promise<Server> {
  return kind === "ours" ? await startEngine({ dataDir, args }) : await startEtcd((await etcdPrograms()).etcd, dataDir);
}

async function fill(store: Datastore): Promise<void> {
  const value = Buffer.alloc(512, "v");
  for (let at = 0; at < keys; at += 100) {
    const success = Array.from({ length: 100 }, (_, index) => {
      // Not in the order of keys, so that a copy in that order is not one in the order of changes.
      return { op: "put", key: `/registry/${((at + index) * 7919) % keys}`, value } as const;
    });
    await store.txn({ success });
  }
}

/** Writes until stopped, and knows of each of its keys what was acknowledged last. */
function load(store: Datastore) {
  const stop = new AbortController();
  const acknowledged = new Map<string, string | undefined>();
  let count = 0;
  const write = async (writer: number) => {
    for (let round = 0; !stop.signal.aborted; round++) {
      const key = `/registry/load/${writer}/${round % 50}`;
      const value = round % 7 === 6 ? undefined : `${writer}-${round}`;
      const success = [
        value === undefined ? ({ op: "delete", range: { key } } as const) : ({ op: "put", key, value } as const),
        // Of the keys that were there before, some change and some go.
        round % 3 === 0
          ? ({ op: "delete", range: { key: `/registry/${writer * 1000 + round}` } } as const)
          : ({ op: "put", key: `/registry/${writer * 1000 + round}`, value: `new-${round}` } as const),
      ];
      await store.txn({ success }, { timeoutMs: 30_000 });
      acknowledged.set(key, value);
      count += 1;
    }
  };
  const running = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  return {
    acknowledged,
    count: () => count,
    async stop() {
      stop.abort();
      await running;
    },
  };
}

async function firstBatch(store: Datastore, from: number): Promise<WatchBatch | undefined> {
  const signal = AbortSignal.timeout(10_000);
  for await (const batch of store.watch({ prefix: "/registry/" }, { from, signal })) return batch;
  return undefined;
}

async function leased(store: StoreAccess, signal: AbortSignal): Promise<void> {
  const call = { signal };
  await store.grant(71n, 600, call);
  await store.grant(72n, 3600, call);
  for (let lease = 1_000n; lease < 1_200n; lease++) await store.grant(lease, 3600, call);
  await store.data.txn({ success: [{ op: "put", key: "/registry/leased/a", value: "1", lease: 71n }] }, call);
  await store.data.txn({ success: [{ op: "put", key: "/registry/leased/b", value: "2", lease: 71n }] }, call);
}

describe("a copy of a datastore that is written to", () => {
  const directions: readonly { from: Kind; to: Kind; args?: readonly string[] }[] = [
    { from: "ours", to: "etcd" },
    { from: "etcd", to: "ours", args: ["--initial-revision", "1000000000"] },
    { from: "etcd", to: "etcd" },
    { from: "ours", to: "ours", args: ["--initial-revision", "1000000000"] },
  ];

  test.each(directions)("from $from to $to", { timeout: maxMs }, async ({ from, to, args }) => {
    const signal = AbortSignal.timeout(maxMs);
    await using folder = await temporaryFolder();
    await using sourceServer = await startServer(from, join(folder.path, "source"));
    await using targetServer = await startServer(to, join(folder.path, "target"), args);
    await using source = openStore({ endpoints: [sourceServer.endpoint] });
    await using target = openStore({ endpoints: [targetServer.endpoint] });
    await using client = createEtcdClient({ endpoints: [sourceServer.endpoint] });
    await fill(client);
    await leased(source, signal);

    const writing = load(client);
    await using copy = await startCopy({ source, target, signal, margin });
    const duringCopy = writing.count();
    const pausedAt = performance.now();
    await writing.stop();
    const report = await copy.finish();
    const pauseMs = Math.round(performance.now() - pausedAt);
    console.info(
      `${from} to ${to}: pause ${pauseMs} ms of which ${report.finishMs} ms to finish, ${report.keys} keys, ` +
        `${duringCopy} writes meanwhile, ${report.sourceRevision} to ${report.targetRevision}, ${report.hash}`,
    );

    expect(duringCopy).toBeGreaterThan(100);
    const copied = await target.data.range({ prefix: "/registry/" });
    const values = new Map(
      copied.kvs.map(({ key, value }) => [Buffer.from(key).toString(), Buffer.from(value).toString()]),
    );
    for (const [key, value] of writing.acknowledged) expect([key, values.get(key)]).toEqual([key, value]);
    const original = await source.data.range({ prefix: "/registry/" });
    const plain = ({ kvs }: typeof original) => kvs.map(({ key, value, lease }) => ({ key, value, lease }));
    expect(plain(copied)).toEqual(plain(original));
    expect(report.keys).toBe(original.count);

    const oldest = Math.min(...copied.kvs.map(({ modRevision }) => modRevision));
    expect(oldest).toBeGreaterThan(report.sourceRevision);
    expect(await target.lifeOf(71n, { signal })).toMatchObject({ grantedSeconds: 600 });
    expect((await target.lifeOf(72n, { signal })).secondsLeft).toBeGreaterThan(3500);
    expect(report.leases).toBe(202);

    // What a client of the source holds ends in "compacted", whether it watches or reads.
    expect(await firstBatch(target.data, report.sourceRevision)).toMatchObject({ kind: "compacted" });
    const old = target.data.range({ key: "/registry/1" }, { revision: report.sourceRevision });
    expect(isCompacted(await old.catch((error: unknown) => error))).toBe(true);

    const { revision } = await target.data.txn({ success: [{ op: "put", key: "/registry/after", value: "" }] });
    expect(revision).toBe(report.targetRevision + 1);
  });
});

test("of what was read before, only what changed since is read again, and the content is the same", async () => {
  const signal = AbortSignal.timeout(30_000);
  await using folder = await temporaryFolder();
  await using server = await startServer("ours", folder.path);
  await using store = createEtcdClient({ endpoints: [server.endpoint] });
  const put = (key: string, value: string) => ({ op: "put", key, value }) as const;
  await store.txn({ success: Array.from({ length: 90 }, (_, at) => put(`k${at}`, `v${at}`)) });
  const digests = createDigests();
  await digests.learn(store, signal);
  await store.txn({ success: [put("k1", "other"), put("new", "1"), { op: "delete", range: { key: "k2" } }] });
  const listed = await keysOf(store, 0, signal);
  let read = 0;
  const counting: Datastore = {
    ...store,
    txn: (txn, options) => {
      read += txn.success?.length ?? 0;
      return store.txn(txn, options);
    },
  };

  const content = await digests.contentOf(counting, listed, 0, signal);

  expect(read).toBe(2);
  expect(content).toEqual(await createDigests().contentOf(store, listed, 0, signal));
  expect(content.keys).toBe(90);
  await store.txn({ success: [put("k3", "other")] });
  const { hash } = await digests.contentOf(store, await keysOf(store, 0, signal), 0, signal);
  expect(hash).not.toBe(content.hash);
});

describe("a copy is refused or given up", () => {
  test("a target that holds keys is left as it is", async () => {
    await using folder = await temporaryFolder();
    await using sourceServer = await startServer("ours", join(folder.path, "source"));
    await using targetServer = await startServer("ours", join(folder.path, "target"));
    await using source = openStore({ endpoints: [sourceServer.endpoint] });
    await using target = openStore({ endpoints: [targetServer.endpoint] });
    await target.data.txn({ success: [{ op: "put", key: "mine", value: "1" }] });
    const signal = AbortSignal.timeout(20_000);
    await expect(startCopy({ source, target, signal })).rejects.toThrow("it holds 1 keys already");
    expect((await target.data.range({ prefix: "" })).count).toBe(1);
  });

  test("a foreign write to the target is found", async () => {
    await using folder = await temporaryFolder();
    await using sourceServer = await startServer("ours", join(folder.path, "source"));
    const args = ["--initial-revision", "1000000000"];
    await using targetServer = await startServer("ours", join(folder.path, "target"), args);
    await using source = openStore({ endpoints: [sourceServer.endpoint] });
    await using target = openStore({ endpoints: [targetServer.endpoint] });
    await source.data.txn({ success: [{ op: "put", key: "a", value: "1" }] });
    await using copy = await startCopy({ source, target, signal: AbortSignal.timeout(20_000) });
    await target.data.txn({ success: [{ op: "put", key: "a", value: "2" }] });
    await expect(copy.finish()).rejects.toThrow("the copy differs from its source");
  });

  test("a target that dies leaves the source serving", async () => {
    await using folder = await temporaryFolder();
    await using sourceServer = await startServer("ours", join(folder.path, "source"));
    const args = ["--initial-revision", "1000000000"];
    await using targetServer = await startServer("ours", join(folder.path, "target"), args);
    await using source = openStore({ endpoints: [sourceServer.endpoint] });
    await using target = openStore({ endpoints: [targetServer.endpoint], timeoutMs: 5_000 });
    const put = () => source.data.txn({ success: [{ op: "put", key: "a", value: "1" }] });
    await put();
    await using copy = await startCopy({ source, target, signal: AbortSignal.timeout(60_000) });
    await targetServer.kill("SIGKILL");
    await put();
    await expect(copy.finish()).rejects.toMatchObject({ kind: "unavailable" });
    await put();
    expect((await source.data.range({ key: "a" })).kvs[0]?.version).toBe(3);
  });

  test("a source that used up the margin is not copied", async () => {
    await using folder = await temporaryFolder();
    await using sourceServer = await startServer("ours", join(folder.path, "source"));
    await using targetServer = await startServer("ours", join(folder.path, "target"));
    await using source = openStore({ endpoints: [sourceServer.endpoint] });
    await using target = openStore({ endpoints: [targetServer.endpoint] });
    const put = () => source.data.txn({ success: [{ op: "put", key: "a", value: "1" }] });
    await put();
    await using copy = await startCopy({ source, target, signal: AbortSignal.timeout(20_000), margin: 5 });
    for (let write = 0; write < 20; write++) await put();
    await expect(copy.finish()).rejects.toThrow("reached revision");
  });
});
