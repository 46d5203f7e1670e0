import { join } from "node:path";
import { isCompacted } from "@k8sd/k8sd/datastore/client-errors.ts";
import type { Datastore, KeyValue } from "@k8sd/k8sd/datastore/datastore.ts";
import { claim, claimKey, clearClaimed, releaseClaim } from "@k8sd/k8sd/datastore/migrate/claim.ts";
import { type SharedCopyOptions, startSharedCopy } from "@k8sd/k8sd/datastore/migrate/shared-copy.ts";
import { openStore, type StoreAccess } from "@k8sd/k8sd/datastore/migrate/store-access.ts";
import { describe, expect, test } from "vitest";
import { etcdPrograms, startEngine, startEtcd, temporaryFolder } from "./support/servers.ts";

const keys = 1_000;
const writers = 4;
const margin = 5_000;
const maxMs = 120_000;
const claimant = "this move";

interface Stores extends AsyncDisposable {
  readonly ours: StoreAccess;
  /** An etcd that others use too. */
  readonly theirs: StoreAccess;
}

async function stores(engineArgs: readonly string[] = []): Promise<Stores> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const engine = stack.use(await startEngine({ dataDir: join(folder.path, "ours"), args: engineArgs }));
  const etcd = stack.use(await startEtcd((await etcdPrograms()).etcd, join(folder.path, "theirs")));
  const ours = stack.use(openStore({ endpoints: [engine.endpoint] }));
  const theirs = stack.use(openStore({ endpoints: [etcd.endpoint] }));
  const signal = AbortSignal.timeout(maxMs);
  await theirs.grant(99n, 3600, { signal });
  await put(theirs.data, "/others/a", "1");
  await put(theirs.data, "zz", "2", 99n);
  const owned = stack.move();
  return { ours, theirs, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const put = (store: Datastore, key: string, value: string, lease?: bigint) =>
  store.txn({ success: [{ op: "put", key, value, ...(lease === undefined ? {} : { lease }) }] });

async function fill(store: StoreAccess, signal: AbortSignal): Promise<void> {
  for (let at = 0; at < keys; at += 100) {
    const key = (index: number) => `/registry/${((at + index) * 7919) % keys}`;
    const success = Array.from({ length: 100 }, (_, index) => ({ op: "put", key: key(index), value: "v" }) as const);
    await store.data.txn({ success });
  }
  await put(store.data, "k8sd/cluster", "it");
  await put(store.data, "compact_rev_key", "1");
  await store.grant(71n, 600, { signal });
  await put(store.data, "/registry/leased", "1", 71n);
}

/** Writes and deletes until stopped, and knows what was acknowledged last. */
function load(store: Datastore) {
  const stop = new AbortController();
  const acknowledged = new Map<string, string | undefined>();
  const write = async (writer: number) => {
    for (let round = 0; !stop.signal.aborted; round++) {
      const key = `${round % 2 === 0 ? "/registry/load" : "k8sd/load"}/${writer}/${round % 50}`;
      const value = round % 7 === 6 ? undefined : `${writer}-${round}`;
      if (value === undefined) await store.txn({ success: [{ op: "delete", range: { key } }] });
      else await put(store, key, value);
      acknowledged.set(key, value);
    }
  };
  const running = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  return {
    acknowledged,
    async stop() {
      stop.abort();
      await running;
    },
  };
}

const everything = async (store: StoreAccess): Promise<ReadonlyMap<string, string>> => {
  const { kvs } = await store.data.range({ prefix: "" });
  return new Map(kvs.map(({ key, value }) => [Buffer.from(key).toString(), Buffer.from(value).toString()]));
};

const of = (all: ReadonlyMap<string, string>, others: boolean): ReadonlyMap<string, string> =>
  new Map([...all].filter(([key]) => (key.startsWith("/others/") || key === "zz") === others));

async function copies(options: SharedCopyOptions): Promise<void> {
  const { source, target, signal } = options;
  const writing = load(source.data);
  const sharing = load({ ...options[options.shared].data, txn: sharedTxn(options[options.shared].data) } as Datastore);
  await using copy = await startSharedCopy(options);
  await writing.stop();
  const report = await copy.finish();
  await sharing.stop();
  console.info(`to ${options.shared}: ${report.finishMs} ms to finish, ${report.keys} keys`);
  expect(writing.acknowledged.size).toBeGreaterThan(10);
  const copied = await everything(target);
  for (const [key, value] of writing.acknowledged) expect([key, copied.get(key)]).toEqual([key, value]);
  const wanted = of(await everything(source), false);
  expect(report.keys).toBe(wanted.size);
  if (options.shared === "target") await releaseClaim(target.data, claimant, signal);
  expect(of(await everything(target), false)).toEqual(wanted);
  const { kvs } = await target.data.range({ prefix: "/registry/" });
  expect(Math.min(...kvs.map(({ modRevision }) => modRevision))).toBeGreaterThan(report.sourceRevision);
  expect(await target.lifeOf(71n, { signal })).toMatchObject({ grantedSeconds: 600 });
  const old = target.data.range({ key: "/registry/1" }, { revision: report.sourceRevision });
  expect(isCompacted(await old.catch((error: unknown) => error))).toBe(true);
}

/** What others write, below a prefix of their own. */
function sharedTxn(store: Datastore): Datastore["txn"] {
  return async ({ success = [] }, call) => {
    const theirs = success.map((op) => {
      if (op.op === "put") return { ...op, key: `/others/${String(op.key)}` };
      if (op.op === "delete" && "key" in op.range) return { ...op, range: { key: `/others/${String(op.range.key)}` } };
      return op;
    });
    return store.txn({ success: theirs }, call);
  };
}

/** With the keys whose values were read from it. */
function watched(store: StoreAccess) {
  const read = new Set<string>();
  const note = (kvs: readonly KeyValue[]): void => {
    for (const { key } of kvs) read.add(Buffer.from(key).toString());
  };
  const data: Datastore = {
    ...store.data,
    async range(what, how) {
      const answer = await store.data.range(what, how);
      if (how?.keysOnly !== true) note(answer.kvs);
      return answer;
    },
    async txn(what, call) {
      const answer = await store.data.txn(what, call);
      for (const result of answer.results) if (result.op === "range") note(result.kvs);
      return answer;
    },
  };
  return { store: { ...store, data }, read };
}

describe("a copy of one cluster's keys, beside others in the same etcd", () => {
  test("into it keeps every acknowledged write and touches nothing of theirs", { timeout: maxMs }, async () => {
    await using both = await stores();
    const signal = AbortSignal.timeout(maxMs);
    await fill(both.ours, signal);
    await claim(both.theirs.data, claimant, signal);
    const told = new Set<string>();
    const progress: SharedCopyOptions["progress"] = (_done, _total, of) => void told.add(of);
    await copies({ source: both.ours, target: both.theirs, shared: "target", claimant, signal, margin, progress });
    expect([...told]).toEqual(["revisions", "keys"]);
    const theirs = of(await everything(both.theirs), true);
    expect(theirs.get("/others/a")).toBe("1");
    expect(theirs.get("zz")).toBe("2");
  });

  test("out of it takes nothing of theirs along", { timeout: maxMs }, async () => {
    await using both = await stores(["--initial-revision", "1000000000"]);
    const signal = AbortSignal.timeout(maxMs);
    await fill(both.theirs, signal);
    await copies({ source: both.theirs, target: both.ours, shared: "source", claimant, signal });
    expect(of(await everything(both.ours), true).size).toBe(0);
    expect(await both.ours.leases({ signal })).toEqual([71n]);
  });

  test("reads in the pause only values that changed since it served, and never what lies between ours", {
    timeout: maxMs,
  }, async () => {
    await using both = await stores(["--initial-revision", "1000000000"]);
    const signal = AbortSignal.timeout(maxMs);
    await fill(both.theirs, signal);
    // Between /registry/ and compact_rev_key.
    await put(both.theirs.data, "between", "theirs");
    const [source, target] = [watched(both.theirs), watched(both.ours)];
    const options = { source: source.store, target: target.store, shared: "source", claimant, signal } as const;
    await using copy = await startSharedCopy(options);
    const changed = ["/registry/zzz", "compact_rev_key", "k8sd/cluster"];
    for (const key of changed) await put(both.theirs.data, key, "changed");
    await both.theirs.data.txn({ success: [{ op: "delete", range: { key: "/registry/1" } }] });
    for (const each of [source, target]) each.read.clear();

    const report = await copy.finish();

    expect(report.keys).toBe(keys + 3);
    expect(source.read).toEqual(new Set(changed));
    // A lease is attached in the pause.
    expect(target.read).toEqual(new Set([...changed, "/registry/leased"]));
    expect(of(await everything(both.ours), false)).toEqual(
      new Map([...of(await everything(both.theirs), false)].filter(([key]) => key !== "between")),
    );
  });

  test("out of it ends when somebody writes to it in the pause", { timeout: maxMs }, async () => {
    await using both = await stores(["--initial-revision", "1000000000"]);
    const signal = AbortSignal.timeout(maxMs);
    await fill(both.theirs, signal);
    const options = { source: both.theirs, target: both.ours, shared: "source", claimant, signal } as const;
    await using copy = await startSharedCopy(options);
    const data = both.theirs.data;
    let reads = 0;
    // After the keys were listed that are compared, and before it is asked whether that still holds.
    const range: Datastore["range"] = async (what, how) => {
      const answer = await data.range(what, how);
      if ((how?.revision ?? 0) > 0 && reads++ === 0) await put(data, "/registry/late", "1");
      return answer;
    };
    const moved = { ...both.theirs, data: { ...data, range } as Datastore };
    await expect(copy.finish(moved)).rejects.toThrow("written to while writes are paused: /registry/late changed");
  });

  test("that is taken back leaves theirs, and can be begun again with the same leases", {
    timeout: maxMs,
  }, async () => {
    await using both = await stores();
    const signal = AbortSignal.timeout(maxMs);
    await fill(both.ours, signal);
    const before = await everything(both.theirs);
    const options = { source: both.ours, target: both.theirs, shared: "target", claimant, signal, margin } as const;
    for (const _again of [1, 2]) {
      await claim(both.theirs.data, claimant, signal);
      await using copy = await startSharedCopy(options);
      await copy.finish();
      for (const _twice of [1, 2]) await clearClaimed(both.theirs.data, claimant, signal);
      expect(await everything(both.theirs)).toEqual(before);
    }
  });

  test("is not begun where another cluster is or moves in, and what it has is not cleared", async () => {
    await using both = await stores();
    const signal = AbortSignal.timeout(maxMs);
    await put(both.theirs.data, "/registry/other", "1");
    await expect(claim(both.theirs.data, claimant, signal)).rejects.toThrow("it holds 1 keys already");
    await clearClaimed(both.theirs.data, claimant, signal);
    const held = await everything(both.theirs);
    expect(held.get("/registry/other")).toBe("1");
    expect(held.has(claimKey)).toBe(false);
    await both.theirs.data.txn({ success: [{ op: "delete", range: { key: "/registry/other" } }] });
    await claim(both.theirs.data, "another", signal);
    await expect(claim(both.theirs.data, claimant, signal)).rejects.toThrow("another cluster moves in there");
    await clearClaimed(both.theirs.data, claimant, signal);
    expect((await everything(both.theirs)).has(claimKey)).toBe(true);
  });

  test("is refused where the revision is out of reach, with what makes an etcd that does", async () => {
    await using both = await stores(["--initial-revision", "1000000000"]);
    const signal = AbortSignal.timeout(maxMs);
    await fill(both.ours, signal);
    await claim(both.theirs.data, claimant, signal);
    const options = { source: both.ours, target: both.theirs, shared: "target", claimant, signal } as const;
    await expect(startSharedCopy(options)).rejects.toMatchObject({
      remedy: expect.stringContaining("--bump-revision"),
    });
  });
});
