import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import type { Datastore } from "../../../src/datastore/datastore.ts";
import { createMemberCalls, type MemberCalls } from "../../../src/datastore/etcd-members-calls.ts";
import { keepUp } from "../../../src/datastore/upkeep.ts";
import { freePorts } from "./etcd-members-cluster.ts";
import { startEngine, temporaryFolder } from "./support/engine-process.ts";
import { findProgram } from "./support/etcd-process.ts";
import { always } from "./support/writes.ts";

const cleanup = new AsyncDisposableStack();
let folder: string;
beforeAll(async () => {
  folder = cleanup.use(await temporaryFolder()).path;
});
afterAll(() => cleanup.disposeAsync());

const quota = ["--quota-backend-bytes", String(16 * 1024 * 1024)];

async function embedded(): Promise<string> {
  const engine = await startEngine([
    "--data-dir",
    join(folder, "ours"),
    "--listen-client-urls",
    "http://127.0.0.1:0",
    ...quota,
  ]);
  cleanup.use(engine);
  return engine.endpoint;
}

async function realEtcd(program: string): Promise<string> {
  const [client, peer] = (await freePorts(2)).map((port) => `http://127.0.0.1:${port}`);
  const args = ["--data-dir", join(folder, "etcd"), "--log-level", "fatal", "--unsafe-no-fsync", ...quota];
  args.push("--listen-client-urls", `${client}`, "--advertise-client-urls", `${client}`);
  args.push("--listen-peer-urls", `${peer}`, "--initial-advertise-peer-urls", `${peer}`);
  args.push("--initial-cluster", `default=${peer}`);
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
  cleanup.defer(async () => {
    const exited = once(child, "exit");
    if (child.kill("SIGKILL")) await exited;
  });
  return `${client}`;
}

const etcd = findProgram("etcd");
const servers = [
  { name: "the embedded engine", start: embedded },
  ...(etcd === undefined ? [] : [{ name: "etcd", start: () => realEtcd(etcd) }]),
];

describe.each(servers)("the upkeep of $name", ({ start }) => {
  let endpoint: string;
  let store: Datastore;
  let calls: MemberCalls;
  beforeAll(async () => {
    endpoint = await start();
    store = cleanup.use(createEtcdClient({ endpoints: [endpoint] }));
    calls = createMemberCalls({ endpoints: [endpoint] });
    cleanup.defer(() => calls.close());
    await vi.waitFor(() => store.range({ key: "up" }), { timeout: 20_000 });
  });

  const log = { info: () => {}, warn: () => {} };
  const signal = AbortSignal.timeout(60_000);
  const upkeep = () => keepUp({ calls, log }, endpoint, signal);
  /** Small: etcd writes a page of its file anew for each value added to it, and large values would leave much of it unused. */
  const put = (key: string) => store.txn(always({ op: "put", key, value: Buffer.alloc(16_000, 1) }));
  const fill = async (key: (round: number) => string) => {
    await expect(
      (async () => {
        for (let round = 0; round < 4_000; round++) await put(key(round));
      })(),
    ).rejects.toThrow("database space exceeded");
  };

  test("leaves one that is well alone", async () => {
    await put("a");
    expect(await upkeep()).toEqual({ defragmented: [], full: "no" });
  });

  test("frees one that is full of what was overwritten: it takes writes again, and has what counts", async () => {
    await store.txn(always({ op: "put", key: "kept", value: "v" }));
    await fill(() => "same");
    expect(await upkeep()).toMatchObject({ defragmented: [expect.any(String)], full: "has room again" });
    await put("after");
    expect((await store.range({ key: "kept" })).kvs[0]).toMatchObject({ version: 1 });
    expect(await upkeep()).toEqual({ defragmented: [], full: "no" });
  });

  test("says so when it is full of what is in use, and leaves its alarm", async () => {
    await fill((round) => `own/${round}`);
    expect(await upkeep()).toMatchObject({ full: "still full" });
    await expect(put("more")).rejects.toThrow("database space exceeded");
    await store.txn(always({ op: "delete", range: { prefix: "own/" } }));
    expect(await upkeep()).toMatchObject({ full: "has room again" });
    await put("more");
  });
});
