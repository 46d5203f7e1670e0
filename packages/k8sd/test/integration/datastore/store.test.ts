import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodeRange } from "../../../src/datastore/engine/encode.ts";
import { keySpan } from "../../../src/datastore/engine/key-range.ts";
import { createMessageWriter } from "../../../src/datastore/engine/message-writer.ts";
import { executeRange } from "../../../src/datastore/engine/range.ts";
import { type Databases, openDatabases } from "../../../src/datastore/engine/schema.ts";
import { createStore, type ReadView, type Store } from "../../../src/datastore/engine/store.ts";
import { RangeRequest, RangeResponse } from "../../../src/datastore/gen/etcd.ts";
import { temporaryFolder } from "./support/engine-process.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let file: string;
let databases: Databases | undefined;

beforeEach(async () => {
  folder = await temporaryFolder();
  file = join(folder.path, "datastore.db");
});

afterEach(async () => {
  databases?.close();
  databases = undefined;
  await folder[Symbol.asyncDispose]();
});

function open(initialRevision = 1): Store {
  databases = openDatabases(file, initialRevision);
  return createStore(databases.db, databases.reader);
}

function reopen(): Store {
  databases?.close();
  return open();
}

const all = keySpan(Buffer.of(0), Buffer.of(0));
const value = Buffer.from("value");

/** One revision that puts these keys. */
function put(store: Store, ...keys: readonly string[]): void {
  store.batch(() => {
    const revision = store.running.revision() + 1;
    for (const key of keys) store.running.put(revision, Buffer.from(key), value, 0n);
  });
}

async function seen(store: Store, from: number, limit = 1_000): Promise<[number, string][]> {
  const { changes } = await store.durable.changes(all, from, limit, false);
  return changes.map(({ kv }) => [kv.modRevision, Buffer.from(kv.key).toString()]);
}

test("a batch whose durability failed is not read, and no newer revision is told", async () => {
  const store = open();
  put(store, "a");
  put(store, "b");
  store.forsake();
  expect(store.durable.revision()).toBe(2);
  expect(() => store.durable.find(Buffer.from("b"))).toThrow("server stopped");
  await expect(store.durable.changes(all, 1, 10, false)).rejects.toThrow("server stopped");
});

describe("changes from a revision on", () => {
  test("are whole revisions, whatever lies in them and whatever was freed", async () => {
    const store = open(500);
    for (let revision = 501; revision <= 560; revision++) {
      put(store, ...Array.from({ length: (revision * 7) % 5 || 9 }, (_, index) => `key-${revision}-${index}`));
    }
    const everything = await seen(store, 0);
    expect(everything.map(([revision]) => revision)).toEqual(everything.map(([revision]) => revision).toSorted());
    for (let from = 495; from <= 565; from++) {
      expect(await seen(store, from), `from ${from}`).toEqual(everything.filter(([revision]) => revision >= from));
    }
    // A revision with more changes than were asked for is read to its end.
    expect(await seen(store, 510, 1)).toEqual(everything.filter(([revision]) => revision === 510));

    databases?.db.exec("DELETE FROM history WHERE revision % 4 <> 0 AND revision < 550");
    const left = everything.filter(([revision]) => revision % 4 === 0 || revision >= 550);
    for (let from = 495; from <= 565; from++) {
      expect(await seen(store, from), `from ${from}`).toEqual(left.filter(([revision]) => revision >= from));
    }
  });

  test("are found where revisions were left out", async () => {
    const store = open();
    for (const key of ["a", "b", "c"]) put(store, key);
    store.batch(() => store.running.put(1_000, Buffer.from("d"), value, 0n));
    const everything = await seen(store, 0);
    expect(everything.map(([revision]) => revision)).toEqual([2, 3, 4, 1_000]);
    for (const from of [1, 2, 3, 4, 5, 999, 1_000, 1_001]) {
      expect(await seen(store, from), `from ${from}`).toEqual(everything.filter(([revision]) => revision >= from));
    }
  });
});

/** What a client reads in the answer to a list of all keys. */
function answer(store: Store, view: ReadView, more: Partial<RangeRequest> = {}): unknown[] {
  const writer = createMessageWriter();
  const request = { ...RangeRequest.decode(Buffer.of()), key: Buffer.of(0), rangeEnd: Buffer.of(0), ...more };
  encodeRange(executeRange(view, request), writer);
  const { kvs, count } = RangeResponse.decode(writer.finish().subarray(14));
  expect(count).toBe(store.durable.countAt(all, request.revision || view.revision()));
  return kvs.map((kv) => ({ ...kv, value: Buffer.from(kv.value) }));
}

describe("lists", () => {
  /** Any bytes: zeros, what is no text, empty values, and some that are larger than a page. */
  const content = Array.from({ length: 700 }, (_, index) => ({
    key: Buffer.from([index >> 8, index & 0xff, ...(index % 3 === 0 ? [0, 0xc3, 0x28, 0xff] : [])]),
    value: Buffer.alloc(index === 300 ? 140_000 : index % 7 === 0 ? 0 : index % 90, Buffer.of(index & 0xff, 0, 0xf0)),
    lease: index % 50 === 0 ? 2n ** 63n - BigInt(index + 1) : BigInt(index % 2),
  }));

  test("give every byte of each key, however many there are", () => {
    const store = open();
    store.batch(() => {
      for (const { key, value, lease } of content) store.running.put(2, key, value, lease);
    });
    const expected = content.map((entry) => ({ ...entry, createRevision: 2, modRevision: 2, version: 1 }));
    for (const limit of [1, 2, 15, 16, 17, 250, 699, 700, 701, -1]) {
      const wanted = limit < 0 ? expected : expected.slice(0, limit);
      expect(store.durable.list(all, limit), `limit ${limit}`).toEqual(wanted);
      expect(store.durable.listAt(all, 2, limit), `limit ${limit} at a revision`).toEqual(wanted);
    }
    expect(answer(store, store.durable)).toEqual(expected);
    expect(answer(store, store.durable, { limit: 300 })).toEqual(expected.slice(0, 300));
    // At a revision that is not the newest.
    put(store, "zz");
    expect(answer(store, store.durable, { limit: 699, revision: 2 })).toEqual(expected.slice(0, 699));
    expect(answer(store, store.durable, { revision: 2 })).toEqual(expected);
    const [first = Buffer.of(), end = Buffer.of()] = [content[100]?.key, content[333]?.key];
    expect(store.durable.list(keySpan(first, end), -1)).toEqual(expected.slice(100, 333));
    expect(store.durable.list(keySpan(first, Buffer.of()), -1)).toEqual(expected.slice(100, 101));
    expect(store.durable.list(keySpan(Buffer.of(9), end), -1)).toEqual([]);
  });

  test("count every key, while the count is kept and while a commit is on its way", () => {
    const store = open();
    const many = Array.from({ length: 1_200 }, (_, index) => `k${index}`);
    put(store, ...many, "z");
    const spans = [all, keySpan(Buffer.from("k"), Buffer.from("l")), keySpan(Buffer.from("k5"), Buffer.of(0))];
    const told = () => spans.map((span) => store.durable.count(span));
    const there = () => spans.map((span) => store.durable.listAt(span, store.durable.revision(), -1).length);
    expect(told()).toEqual([1_201, 1_200, there()[2]]);
    const remove = (key: string, end = Buffer.of()) =>
      store.batch(() => store.running.remove(store.running.revision() + 1, keySpan(Buffer.from(key), end)));

    put(store, "k5", "k5x", "k0x", "a");
    remove("k7");
    remove("not there");
    expect(told()).toEqual(there());
    const before = told();
    store.hold();
    put(store, "k5y", "k6y");
    remove("k9", Buffer.from("l"));
    expect(told()).toEqual(before);
    store.settle();
    expect(told()).toEqual(there());
    expect(told()).not.toEqual(before);
    expect(() =>
      store.batch(() => {
        store.running.put(store.running.revision() + 1, Buffer.from("k5z"), value, 0n);
        throw new Error("taken back");
      }),
    ).toThrow("taken back");
    expect(told()).toEqual(there());
    // One transaction that takes a key away and makes it anew.
    store.batch(() => {
      const revision = store.running.revision() + 1;
      store.running.remove(revision, keySpan(Buffer.from("k5"), Buffer.of()));
      store.running.put(revision, Buffer.from("k5"), value, 0n);
    });
    expect(told()).toEqual(there());
    for (let start = 0; start < 20; start++) {
      store.durable.count(keySpan(Buffer.concat([Buffer.from([start]), Buffer.from("a")]), Buffer.of(0)));
    }
    put(store, "k5zz");
    expect(told()).toEqual(there());
  });

  test("at an old revision give what was there", () => {
    const store = open();
    for (const key of ["a", "b", "c"]) put(store, key);
    store.batch(() => store.running.remove(5, keySpan(Buffer.from("b"), Buffer.of())));
    put(store, "a");
    const at = (revision: number) =>
      store.durable.listAt(all, revision, -1).map(({ key, version }) => `${Buffer.from(key)}${version}`);
    expect([1, 2, 3, 4, 5, 6].map(at)).toEqual([
      [],
      ["a1"],
      ["a1", "b1"],
      ["a1", "b1", "c1"],
      ["a1", "c1"],
      ["a2", "c1"],
    ]);
  });
});

test("a file of the first schema is brought up to date and keeps what it holds", async () => {
  put(open(), "a", "b");
  // What the first schema had more.
  databases?.db.exec("CREATE INDEX history_by_revision ON history (revision)");
  databases?.db.pragma("user_version = 1");
  const store = reopen();
  put(store, "c");
  expect(await seen(store, 0)).toEqual([
    [2, "a"],
    [2, "b"],
    [3, "c"],
  ]);
  databases?.close();
  const db = new Database(file);
  databases = { db, reader: db, close: () => db.close() };
  expect(db.pragma("user_version", { simple: true })).toBe(2);
  expect(db.prepare("SELECT name FROM sqlite_schema WHERE name = 'history_by_revision'").all()).toEqual([]);
  expect(db.pragma("integrity_check", { simple: true })).toBe("ok");
});
