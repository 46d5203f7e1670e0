import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { keySpan } from "../../../src/datastore/engine/key-range.ts";
import { type Databases, openDatabases } from "../../../src/datastore/engine/schema.ts";
import { createStore, type Store } from "../../../src/datastore/engine/store.ts";
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
