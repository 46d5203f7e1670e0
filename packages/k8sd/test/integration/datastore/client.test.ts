import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import { isCompacted } from "../../../src/datastore/client-errors.ts";
import type { Datastore, WatchBatch, WatchEvent } from "../../../src/datastore/datastore.ts";
import { makeTestPki, type TestPki } from "./support/certificates.ts";
import { type EngineProcess, startEngine, temporaryFolder } from "./support/engine-process.ts";
import { always, when } from "./support/writes.ts";

const cleanup = new AsyncDisposableStack();
let pki: TestPki;
let engine: EngineProcess;
let store: Datastore;
let args: string[];

beforeAll(async () => {
  const folder = cleanup.use(await temporaryFolder());
  pki = makeTestPki(join(folder.path, "pki"));
  const { ca, cert, key } = pki.files;
  args = ["--data-dir", join(folder.path, "data"), "--cert-file", cert, "--key-file", key];
  args.push("--trusted-ca-file", ca, "--client-cert-auth", "--watch-progress-notify-interval", "100ms");
  engine = await startEngine([...args, "--listen-client-urls", "https://127.0.0.1:0"]);
  cleanup.defer(() => engine[Symbol.asyncDispose]());
  store = cleanup.use(createEtcdClient({ endpoints: [engine.endpoint], tls: pki.client }));
});
afterAll(() => cleanup.disposeAsync());

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();
const put = (key: string, value: string, lease?: bigint) =>
  store.txn(always({ op: "put", key, value, ...(lease === undefined ? {} : { lease }) }));

async function collect(batches: AsyncIterable<WatchBatch>, count: number): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  for await (const batch of batches) {
    if (batch.kind === "compacted") throw new Error("compacted");
    if (batch.kind === "events") events.push(...batch.events);
    if (events.length >= count) return events;
  }
  return events;
}

const described = (events: readonly WatchEvent[]) =>
  events.map((event) =>
    event.type === "put" ? `${text(event.kv.key)}=${text(event.kv.value)}` : `-${text(event.key)}`,
  );

describe("the client against the embedded engine over TLS", () => {
  test("reads what a transaction wrote, and only the branch whose compares hold runs", async () => {
    const created = await store.txn(
      when(
        { key: "t/a", target: "create", is: "=", to: 0 },
        [{ op: "put", key: "t/a", value: "1" }],
        [{ op: "range", range: { key: "t/a" } }],
      ),
    );
    const again = await store.txn(
      when(
        { key: "t/a", target: "create", is: "=", to: 0 },
        [{ op: "put", key: "t/a", value: "2" }],
        [{ op: "range", range: { key: "t/a" } }],
      ),
    );
    expect(created.succeeded).toBe(true);
    expect(again.succeeded).toBe(false);
    expect(again.revision).toBe(created.revision);
    const read = again.results[0];
    expect(read?.op === "range" && text(read.kvs[0]?.value)).toBe("1");
  });

  test("pages a prefix at one revision although keys are added in between", async () => {
    for (const name of ["1", "2", "3", "4", "5"]) await put(`page/${name}`, name);
    const first = await store.range({ prefix: "page/" }, { limit: 2 });
    await put("page/25", "new");
    const last = first.kvs.at(-1)?.key ?? new Uint8Array();
    const from = Buffer.concat([last, Buffer.from([0])]);
    const second = await store.range({ from, end: "page0" }, { limit: 10, revision: first.revision });
    expect(first).toMatchObject({ more: true, count: 5 });
    expect(second.more).toBe(false);
    expect(second.kvs.map((kv) => text(kv.value))).toEqual(["3", "4", "5"]);
  });

  test("a watch from an old revision gets history and then live events, each once, with previous values", async () => {
    const start = await put("w/a", "1");
    await put("w/b", "1");
    const watch = store.watch(
      { prefix: "w/" },
      { from: start.revision, signal: AbortSignal.timeout(5_000), prevKv: true },
    );
    const got = collect(watch, 4);
    await put("w/a", "2");
    await store.txn(always({ op: "delete", range: { key: "w/b" } }));
    const events = await got;
    expect(described(events)).toEqual(["w/a=1", "w/b=1", "w/a=2", "-w/b"]);
    expect(events.map((event) => text(event.prevKv?.value))).toEqual(["", "", "1", "1"]);
  });

  test("a compacted revision is an event of a watch and an error of a read", async () => {
    const { revision } = await put("c/a", "1");
    await put("c/a", "2");
    await store.compact(revision + 1, { physical: true });
    const batches: WatchBatch[] = [];
    const watch = store.watch({ key: "c/a" }, { from: revision, signal: AbortSignal.timeout(5_000) });
    for await (const batch of watch) batches.push(batch);
    expect(batches).toEqual([{ kind: "compacted", compactRevision: revision + 1 }]);
    const refused = await store.range({ key: "c/a" }, { revision }).catch((error: unknown) => error);
    expect(isCompacted(refused)).toBe(true);
  });

  test("a lease outlives its life while kept, and its keys go when it is disposed", async () => {
    const lease = await store.lease(2, AbortSignal.timeout(20_000));
    await put("l/a", "1", lease.id);
    const deleted = collect(store.watch({ key: "l/a" }, { from: 0, signal: AbortSignal.timeout(20_000) }), 1);
    await new Promise((resolve) => setTimeout(resolve, 3_200)); // longer than the lease's life: what is tested is time itself
    expect((await store.range({ key: "l/a" })).count).toBe(1);
    await lease[Symbol.asyncDispose]();
    expect(described(await deleted)).toEqual(["-l/a"]);
  });

  test("a watch goes on over a restart of the engine without gap or double", async () => {
    const { revision } = await put("r/a", "0");
    const got = collect(store.watch({ prefix: "r/" }, { from: revision + 1, signal: AbortSignal.timeout(20_000) }), 4);
    await put("r/a", "1");
    await put("r/a", "2");
    const { port } = new URL(engine.endpoint);
    expect(await engine.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    engine = await startEngine([...args, "--listen-client-urls", `https://127.0.0.1:${port}`]);
    await expect
      .poll(
        () =>
          put("r/a", "3").then(
            () => true,
            () => false,
          ),
        { timeout: 10_000 },
      )
      .toBe(true);
    await put("r/a", "4");
    expect(described(await got)).toEqual(["r/a=1", "r/a=2", "r/a=3", "r/a=4"]);
  });

  test("a client without a certificate is refused", async () => {
    await using stranger = createEtcdClient({ endpoints: [engine.endpoint], tls: { ca: pki.client.ca } });
    await expect(stranger.range({ key: "a" })).rejects.toMatchObject({ kind: "unavailable" });
  });

  test("an engine that does not answer gives a timeout or unavailable within the deadline, never a hang", async () => {
    await using nobody = createEtcdClient({ endpoints: ["http://127.0.0.1:1"], timeoutMs: 500 });
    await expect(nobody.range({ key: "a" })).rejects.toMatchObject({
      kind: expect.stringMatching(/unavailable|timeout/),
    });
  });

  test("a second engine on the same data is refused with the reason", async () => {
    await expect(startEngine([...args, "--listen-client-urls", "https://127.0.0.1:0"])).rejects.toThrow(
      /another process uses it/,
    );
  });
});

describe("a client with others to fall back to", () => {
  test("goes to the next one while the first is away, and back when it answers again", async () => {
    await using folder = await temporaryFolder();
    const [first = [], second = []] = ["first", "second"].map((name) => [
      ...args.map((arg, index) => (args[index - 1] === "--data-dir" ? join(folder.path, name) : arg)),
    ]);
    const other = await startEngine([...second, "--listen-client-urls", "https://127.0.0.1:0"]);
    let own = await startEngine([...first, "--listen-client-urls", "https://127.0.0.1:0"]);
    const { endpoint } = own;
    await using client = createEtcdClient({ endpoints: [endpoint], others: () => [other.endpoint], tls: pki.client });
    try {
      await client.txn(always({ op: "put", key: "where", value: "own" }));
      await own[Symbol.asyncDispose]();
      const where = async () => text((await client.range({ key: "where" })).kvs[0]?.value);
      await client.txn(always({ op: "put", key: "where", value: "other" }));
      expect(await where()).toBe("other");
      own = await startEngine([...first, "--listen-client-urls", endpoint]);
      await expect.poll(where, { timeout: 20_000 }).toBe("own");
    } finally {
      await own[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
    }
  }, 60_000);
});

test("a call on a client that was closed says that it can be tried again", async () => {
  const closed = createEtcdClient({ endpoints: [engine.endpoint], tls: pki.client });
  await closed.range({ key: "a" });
  await closed[Symbol.asyncDispose]();
  await expect(closed.range({ key: "a" })).rejects.toMatchObject({ kind: "unavailable", retryable: true });
});
