import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, open, readdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import { confirmEtcdLog, readEtcdLog } from "../../../src/datastore/etcd-log.ts";
import { restoreEtcd } from "../../../src/datastore/etcd-restore.ts";
import { createRun } from "../../../src/host/run.ts";
import { createTestCluster, etcdProgram, type TestCluster } from "./etcd-members-cluster.ts";
import { temporaryFolder } from "./support/engine-process.ts";
import { always } from "./support/writes.ts";

const writes = 40;

describe.skipIf(etcdProgram === undefined)("the log of an etcd member", () => {
  const cleanup = new AsyncDisposableStack();
  let cluster: TestCluster;
  let survivor: string;
  let folder: string;

  beforeAll(async () => {
    folder = cleanup.use(await temporaryFolder()).path;
    cluster = cleanup.use(await createTestCluster());
    await cluster.join("n2");
    const [n1, n2] = await Promise.all([cluster.member("n1"), cluster.member("n2")]);
    const { members } = await cluster.members.list(cluster.call());
    const status = members.find(({ name }) => name === "n1")?.health;
    expect(status?.ok).toBe(true);
    await write(cluster, n1.clientUrl);
    await Promise.all([n1.kill(), n2.kill()]);
    survivor = n2.data;
  }, 60_000);
  afterAll(() => cleanup.disposeAsync());

  /** A copy of its own for each test. */
  async function copyOf(name: string): Promise<string> {
    const copy = join(folder, name);
    await cp(survivor, copy, { recursive: true });
    return copy;
  }

  test("tells how far it reaches, also when its last record is cut off or garbage follows", async () => {
    const data = await copyOf("torn");
    const log = await readEtcdLog(data);
    expect(log?.index).toBeGreaterThan(writes);
    expect(log?.confirmed).toBeLessThanOrEqual(log?.index ?? 0);
    const [file = ""] = (await readdir(join(data, "member/wal"))).filter((name) => name.endsWith(".wal"));
    const handle = await open(join(data, "member/wal", file), "r+");
    const { buffer } = await handle.read(Buffer.alloc(4_000_000), 0, 4_000_000, 0);
    const end = buffer.findLastIndex((byte) => byte !== 0) + 1;
    const garbage = Buffer.concat([Buffer.from([40, 0, 0, 0, 0, 0, 0, 0]), Buffer.alloc(40, 7)]);
    await handle.write(garbage, 0, garbage.length, Math.ceil(end / 8) * 8);
    expect(await readEtcdLog(data)).toEqual(log);
    await handle.write(Buffer.alloc(8, 0xff), 0, 8, end - 12);
    await handle.close();
    expect((await readEtcdLog(data))?.index).toBeLessThanOrEqual(log?.index ?? 0);
  });

  test("is undefined where there is none", async () => {
    expect(await readEtcdLog(join(folder, "nothing"))).toBeUndefined();
    await expect(confirmEtcdLog(join(folder, "nothing"))).rejects.toThrow(/holds no log of etcd/);
  });

  test("once confirmed, a cluster of one takes up all of it; rebuilt, its revisions lie above all before", async () => {
    const data = await copyOf("confirmed");
    const log = await confirmEtcdLog(data);
    expect(log.confirmed).toBe(log.index);
    expect(await readEtcdLog(data)).toEqual(log);
    // Again is no change.
    expect(await confirmEtcdLog(data)).toEqual(log);
    const before = await valuesOf(data, "--force-new-cluster");
    expect(before.values).toEqual(Array.from({ length: writes }, (_, index) => `v${index}`));
    const rebuilt = join(folder, "rebuilt");
    await restoreEtcd(createRun({}), {
      bin: dirname(etcdProgram ?? ""),
      from: join(data, "member/snap/db"),
      to: rebuilt,
      name: "n2",
      peerUrl: "http://127.0.0.1:1",
      clusterToken: "again",
      signal: AbortSignal.timeout(30_000),
    });
    const after = await valuesOf(rebuilt);
    expect(after.values).toEqual(before.values);
    expect(after.revision).toBe(before.revision + 1_000_000_000);
    expect(after.memberId).not.toBe(before.memberId);
  }, 60_000);

  /** Runs an etcd on this data for a moment, alone. */
  async function valuesOf(data: string, ...flags: string[]) {
    const [client, peer] = await Promise.all([freePort(), freePort()]);
    const url = `http://127.0.0.1:${client}`;
    const args = ["--name", "n2", "--data-dir", data, "--log-level", "fatal", ...flags];
    args.push("--listen-client-urls", url, "--advertise-client-urls", url);
    args.push("--listen-peer-urls", `http://127.0.0.1:${peer}`);
    const child: ChildProcess = spawn(etcdProgram ?? "etcd", args, { stdio: ["ignore", "ignore", "inherit"] });
    try {
      await using store = createEtcdClient({ endpoints: [url] });
      await expect.poll(async () => (await store.status()).leader, { timeout: 20_000 }).not.toBe(0n);
      const { kvs, revision } = await store.range({ prefix: "k" }, { sort: { by: "create", order: "ascend" } });
      const { memberId } = await store.status();
      return { values: kvs.map(({ value }) => Buffer.from(value).toString()), revision, memberId };
    } finally {
      child.kill("SIGTERM");
      await once(child, "exit");
      await rm(join(data, "member/wal/0.tmp"), { force: true });
    }
  }
});

async function write(cluster: TestCluster, url: string): Promise<void> {
  await using store = createEtcdClient({ endpoints: [url], tls: cluster.tls });
  for (let index = 0; index < writes; index += 1) {
    await store.txn(always({ op: "put", key: `k${index}`, value: `v${index}` }));
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return address && typeof address === "object" ? address.port : 0;
}
