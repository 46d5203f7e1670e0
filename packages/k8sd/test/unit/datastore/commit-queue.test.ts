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
function setUp() {
  const told: string[] = [];
  const syncs: { readonly done: () => void; readonly fail: (error: Error) => void }[] = [];
  const broken = vi.fn();
  const queue = createCommitQueue({
    store: {
      batch(run) {
        told.push("batch");
        run();
        return [change];
      },
      hold: () => void told.push("hold"),
      settle: () => void told.push("settle"),
    },
    disk: {
      sync: () => new Promise((done, fail) => void syncs.push({ done, fail })),
      foldLongLog: async () => {},
    },
    log: pino({ enabled: false }),
    published: () => void told.push("published"),
    broken,
  });
  const sync = async (nth: number) => {
    await vi.waitFor(() => expect(syncs.length).toBe(nth));
    return syncs[nth - 1];
  };
  return { queue, told, broken, sync, syncs };
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
