import { pino } from "pino";
import { expect, test, vi } from "vitest";
import { createCommitQueue } from "../../../src/datastore/engine/commit-queue.ts";
import { EtcdError, etcdErrors } from "../../../src/datastore/engine/etcd-error.ts";
import type { Change } from "../../../src/datastore/engine/store.ts";

const change: Change = {
  type: 1,
  kv: { key: Buffer.from("a"), value: Buffer.of(), createRevision: 0, modRevision: 2, version: 0, lease: 0n },
};

/** A store whose batches only run, and a disk that is done when the test says so. */
function setUp({ quick = false, longLog = false, changes = [change] } = {}) {
  const told: string[] = [];
  const syncs: { readonly done: () => void; readonly fail: (error: Error) => void }[] = [];
  const broken = vi.fn();
  let failure: Error | undefined;
  const queue = createCommitQueue({
    store: {
      batch(run) {
        told.push("batch");
        run();
        return changes;
      },
      hold: () => void told.push("hold"),
      settle: () => void told.push("settle"),
      forsake: () => void told.push("forsake"),
    },
    disk: {
      sync: () => new Promise((done, fail) => void syncs.push({ done, fail })),
      syncHere() {
        told.push("sync");
        if (failure) throw failure;
      },
      quick: () => quick,
      longLog: () => longLog,
      shortenLog: async () => void told.push("fold"),
    },
    log: pino({ enabled: false }),
    published: (all) => void told.push(all.length === 1 ? "published" : `published ${all.length}`),
    broken,
  });
  const sync = async (nth: number) => {
    await vi.waitFor(() => expect(syncs.length).toBe(nth));
    return syncs[nth - 1];
  };
  const failHere = (error: Error) => {
    failure = error;
  };
  return { queue, told, broken, sync, syncs, failHere };
}

test("answers and events come after the disk; what arrives meanwhile shares the next commit", async () => {
  const { queue, told, sync, syncs } = setUp();
  const first = queue.submit(() => "one").then((value) => told.push(value));
  const disk = await sync(1);
  const rest = Promise.all([queue.submit(() => 2), queue.submit(() => 3)]);
  expect(told).toEqual(["hold", "batch"]);
  disk?.done();
  await first;
  expect(told.slice(0, 5)).toEqual(["hold", "batch", "settle", "published", "one"]);
  (await sync(2))?.done();
  expect(await rest).toEqual([2, 3]);
  expect(syncs.length).toBe(2);
});

test("a refusal is its caller's alone", async () => {
  const { queue, sync } = setUp();
  const good = queue.submit(() => 1);
  const bad = queue.submit(() => {
    throw etcdErrors.emptyKey();
  });
  const both = Promise.allSettled([good, bad]);
  (await sync(1))?.done();
  expect(await both).toMatchObject([{ value: 1 }, { reason: expect.any(EtcdError) }]);
});

test("a write may change more keys than a call takes arguments, and runs once", async () => {
  const { queue, told, sync } = setUp({ changes: Array<Change>(300_000).fill(change) });
  const run = vi.fn(() => 1);
  const written = queue.submit(run);
  (await sync(1))?.done();
  expect(await written).toBe(1);
  expect(run).toHaveBeenCalledOnce();
  expect(told).toContain("published 300000");
});

test("an unforeseen failure finds its owner", async () => {
  const { queue, sync, broken } = setUp();
  const bad = queue.submit(() => {
    throw new TypeError("a mistake");
  });
  const good = queue.submit(() => 1);
  const both = Promise.allSettled([bad, good]);
  (await sync(1))?.done();
  expect(await both).toMatchObject([{ reason: expect.any(TypeError) }, { value: 1 }]);
  expect(broken).not.toHaveBeenCalled();
});

test("a disk that fails ends everything: nobody is told of success", async () => {
  const { queue, told, broken, sync } = setUp();
  const written = Promise.allSettled([queue.submit(() => 1)]);
  const disk = await sync(1);
  const waiting = Promise.allSettled([queue.submit(() => 2), queue.rest(async () => {})]);
  disk?.fail(new Error("EIO"));
  expect((await written)[0]).toMatchObject({ reason: { message: "etcdserver: server stopped" } });
  expect(await waiting).toMatchObject([{ status: "rejected" }, { status: "rejected" }]);
  expect(told).not.toContain("published");
  expect(broken).toHaveBeenCalledOnce();
  await expect(queue.submit(() => 3)).rejects.toThrow("server stopped");
});

test("commits wait while something needs rest, and a close waits for both", async () => {
  const { queue, told, sync } = setUp();
  const work = Promise.withResolvers<void>();
  const rested = queue.rest(() => work.promise);
  (await sync(1))?.done();
  await vi.waitFor(() => expect(told).toContain("published"));
  const before = told.length;
  const later = queue.submit(() => 1);
  const closed = queue.close();
  await new Promise((resolve) => setImmediate(resolve));
  expect(told.length).toBe(before);
  work.resolve();
  await rested;
  (await sync(2))?.done();
  expect(await later).toBe(1);
  await closed;
});

test("a write without company waits for a quick disk where it runs, others on another thread", async () => {
  const { queue, told, sync, syncs } = setUp({ quick: true });
  expect(await queue.submit(() => 1)).toBe(1);
  expect(told).toEqual(["batch", "sync", "published"]);
  const both = Promise.all([queue.submit(() => 2), queue.submit(() => 3)]);
  (await sync(1))?.done();
  expect(await both).toEqual([2, 3]);
  // Company may come again.
  const next = queue.submit(() => 4);
  (await sync(2))?.done();
  expect(await next).toBe(4);
  expect(await queue.submit(() => 5)).toBe(5);
  expect(syncs.length).toBe(2);
});

test("a disk that fails where the write runs ends everything, and what was written is not read", async () => {
  const { queue, told, broken, failHere } = setUp({ quick: true });
  failHere(new Error("EIO"));
  await expect(queue.submit(() => 1)).rejects.toThrow("server stopped");
  expect(told).toEqual(["batch", "sync", "forsake"]);
  expect(broken).toHaveBeenCalledOnce();
  await expect(queue.submit(() => 2)).rejects.toThrow("server stopped");
});

test("a long log is shortened once the answers are given, and commits wait for it", async () => {
  const { queue, told, sync } = setUp({ longLog: true });
  const first = queue.submit(() => "one").then((value) => told.push(value));
  (await sync(1))?.done();
  await first;
  expect(told).toEqual(["hold", "batch", "settle", "published", "one"]);
  const second = queue.submit(() => "two");
  (await sync(2))?.done();
  expect(await second).toBe("two");
  expect(told.slice(5, 8)).toEqual(["fold", "hold", "batch"]);
});
