import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { everything } from "../../../../src/datastore/migrate/batches.ts";
import { openStore } from "../../../../src/datastore/migrate/store-access.ts";
import { contentHash, withView } from "../../../../src/datastore/snapshot/content.ts";
import { type Unlock, writeSnapshotFile } from "../../../../src/datastore/snapshot/file.ts";
import { createSnapshotKey, keysFor, keysForNew } from "../../../../src/datastore/snapshot/key.ts";
import { loadSnapshot } from "../../../../src/datastore/snapshot/load.ts";
import type { SnapshotRecord } from "../../../../src/datastore/snapshot/records.ts";
import { startEngine, temporaryFolder } from "../support/engine-process.ts";
import { aHeader } from "./support.ts";

const { text, lock } = createSnapshotKey();
const unlock: Unlock = (header) => keysFor(header.key, text);
const signal = AbortSignal.timeout(60_000);

async function startStore(folder: string, ...args: readonly string[]) {
  const engine = await startEngine(["--data-dir", folder, "--listen-client-urls", "http://127.0.0.1:0", ...args]);
  return { engine, store: openStore({ endpoints: [engine.endpoint] }) };
}

const put = (key: string, value: string) => ({ op: "put", key, value }) as const;

async function drain(records: AsyncIterable<SnapshotRecord>): Promise<readonly SnapshotRecord[]> {
  const all: SnapshotRecord[] = [];
  for await (const record of records) all.push(record);
  return all;
}

describe("the content of a snapshot", () => {
  test("is that of one revision, whatever is written while it is read", async () => {
    await using folder = await temporaryFolder();
    const { engine, store } = await startStore(join(folder.path, "data"));
    await using _engine = engine;
    await using _store = store;
    for (let at = 0; at < 60; at++) await store.data.txn({ success: [put(`/registry/${at}`, "old")] });
    const hash = await contentHash(store, signal);

    const records = await withView(store, signal, async (view) => {
      const seen: SnapshotRecord[] = [];
      for await (const record of view.records("{}")) {
        if (seen.length === 10) {
          await store.data.txn({ success: [put("/registry/59", "new"), put("/registry/60", "new")] });
          await store.data.txn({ success: [{ op: "delete", range: { key: "/registry/58" } }] });
        }
        seen.push(record);
      }
      return seen;
    });

    const values = records.flatMap((record) =>
      record.kind === "key" ? [Buffer.from(record.kv.value).toString()] : [],
    );
    expect(values).toEqual(new Array(60).fill("old"));
    expect(records.at(-1)).toEqual({ kind: "end", keys: 60, leases: 0, hash });
  });

  test("is read at a new revision when the old one is compacted, and not without end", async () => {
    await using folder = await temporaryFolder();
    const { engine, store } = await startStore(join(folder.path, "data"));
    await using _engine = engine;
    await using _store = store;
    for (let at = 0; at < 60; at++) await store.data.txn({ success: [put(`/registry/${at}`, "a")] });
    const compacting = (times: number) => {
      const revisions: number[] = [];
      return withView(store, signal, async (view) => {
        revisions.push(view.revision);
        if (revisions.length <= times) {
          const { revision } = await store.data.txn({ success: [put("/registry/0", "b")] });
          await store.data.compact(revision);
        }
        await drain(view.records("{}"));
        return revisions;
      });
    };
    const revisions = await compacting(2);
    expect(revisions).toEqual([61, 62, 63]);
    await expect(compacting(3)).rejects.toThrow("the datastore was compacted 3 times before it was read");
  });

  test("comes back in another datastore with values, leases and the order of changes", async () => {
    await using folder = await temporaryFolder();
    const source = await startStore(join(folder.path, "source"));
    const target = await startStore(join(folder.path, "target"), "--initial-revision", "1000000000");
    await using _one = source.engine;
    await using _two = target.engine;
    await using from = source.store;
    await using to = target.store;
    for (let at = 0; at < 100; at++) await from.data.txn({ success: [put(`/registry/${(at * 7) % 100}`, `v${at}`)] });
    await from.grant(71n, 3_600, { signal });
    await from.grant(72n, 5, { signal });
    const leased = (key: string, lease: bigint) => ({ op: "put", key, value: "leased", lease }) as const;
    await from.data.txn({ success: [leased("/a", 71n), leased("/b", 72n)] });

    const path = join(folder.path, "snapshot");
    const { keys, hint } = keysForNew(lock);
    await withView(from, signal, (view) =>
      writeSnapshotFile(
        path,
        { ...aHeader({ revision: view.revision, keys: view.keys }), key: hint },
        view.records("{}"),
        keys,
        signal,
      ),
    );
    const progress: number[] = [];
    const report = await loadSnapshot({
      path,
      unlock,
      target: to,
      signal,
      trial: false,
      progress: (done) => progress.push(done),
    });

    expect(report).toMatchObject({ keys: 102, leases: 2 });
    expect(report.revision).toBeGreaterThan(1_000_000_000);
    expect(progress.at(-1)).toBe(102);
    const { kvs } = await to.data.range({ prefix: "/registry/" }, { sort: { by: "mod", order: "ascend" } });
    expect(kvs.length).toBe(100);
    const original = await from.data.range({ prefix: "/registry/" });
    const value = new Map(original.kvs.map((kv) => [Buffer.from(kv.key).toString(), Buffer.from(kv.value).toString()]));
    for (const kv of kvs) expect(Buffer.from(kv.value).toString()).toBe(value.get(Buffer.from(kv.key).toString()));
    const changed = new Map(original.kvs.map((kv) => [Buffer.from(kv.key).toString(), kv.modRevision]));
    // Those of one transaction have one revision; nothing that changed later lies in an earlier one.
    let highest = 0;
    for (const batch of Map.groupBy(kvs, ({ modRevision }) => modRevision).values()) {
      const revisions = batch.map(({ key }) => changed.get(Buffer.from(key).toString()) ?? 0);
      expect(Math.min(...revisions)).toBeGreaterThan(highest);
      highest = Math.max(...revisions);
    }
    expect(await to.lifeOf(71n, { signal })).toMatchObject({ grantedSeconds: 3_600 });
    // Long enough for those who renew it to come.
    expect(await to.lifeOf(72n, { signal })).toMatchObject({ grantedSeconds: 120 });
    await expect(loadSnapshot({ path, unlock, target: to, signal, trial: false })).rejects.toThrow(
      "the datastore holds 102 keys already",
    );
    const { count } = await to.data.range(everything, { countOnly: true });
    expect(count).toBe(102);
  });
});
