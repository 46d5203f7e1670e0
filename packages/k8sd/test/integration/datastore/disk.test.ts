import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Disk, openDisk } from "../../../src/datastore/engine/disk.ts";
import { type Databases, openDatabases } from "../../../src/datastore/engine/schema.ts";
import { temporaryFolder } from "./support/engine-process.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let databases: Databases;
let disk: Disk;

beforeEach(async () => {
  folder = await temporaryFolder();
  databases = openDatabases(join(folder.path, "datastore.db"), 1);
  disk = openDisk(databases.db, pino({ enabled: false }));
});

afterEach(async () => {
  await disk.settle();
  databases.close();
  disk.close();
  await folder[Symbol.asyncDispose]();
});

/** Pages of log, and how many of them are in the file too. */
const pages = () => {
  const [, all, moved] = databases.db.prepare("PRAGMA wal_checkpoint(NOOP)").raw().get() as [number, number, number];
  return { all, moved };
};

async function commit(ttl: number): Promise<void> {
  databases.db.prepare("INSERT INTO lease (ttl_s, remaining_ms) VALUES (?, 0)").run(ttl);
  await disk.sync();
}

async function commitUntilLong(): Promise<void> {
  for (let ttl = 1; !disk.longLog(); ttl++) await commit(ttl);
}

test("commits go on while the log is moved into the file, which begins anew only when the file is durable", async () => {
  await commitUntilLong();
  const before = pages();
  await disk.shortenLog();
  // The file is still on its way: no turn of the event loop has passed in which it could have become durable.
  databases.db.prepare("INSERT INTO lease (ttl_s, remaining_ms) VALUES (?, 0)").run(9);
  expect(pages().moved).toBe(before.all);
  expect(pages().all).toBeGreaterThan(before.all);
  expect(disk.longLog()).toBe(false);
  await expect.poll(() => disk.longLog()).toBe(true);

  await disk.shortenLog();
  expect(pages().moved).toBe(pages().all);
  await commit(10);
  expect(pages().all).toBeLessThan(before.all);
});

test("all that is in the log is in the file after a fold, also while a copy is on its way", async () => {
  await commitUntilLong();
  await disk.shortenLog();
  await commit(9);
  await disk.foldLog();
  expect(pages().moved).toBe(pages().all);
  await commit(10);
  expect(pages().all).toBeLessThan(10);
});
