import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { beforeAll, describe, expect, test } from "vitest";
import {
  readSnapshotFile,
  readSnapshotHeader,
  type Unlock,
  writeSnapshotFile,
} from "../../../../src/datastore/snapshot/file.ts";
import { inspectSnapshot } from "../../../../src/datastore/snapshot/inspect.ts";
import { createSnapshotKey, keysFor, keysForNew } from "../../../../src/datastore/snapshot/key.ts";
import type { SnapshotRecord } from "../../../../src/datastore/snapshot/records.ts";
import { temporaryFolder } from "../support/engine-process.ts";
import { aHeader } from "./support.ts";

const { text, lock } = createSnapshotKey();
const unlock: Unlock = (header) => keysFor(header.key, text);
const signal = new AbortController().signal;

const key = (name: string, value: Buffer): SnapshotRecord => ({
  kind: "key",
  kv: {
    key: Buffer.from(name),
    value,
    createRevision: 2,
    modRevision: 2 ** 40,
    version: 7,
    lease: -3n,
  },
});
const records: readonly SnapshotRecord[] = [
  { kind: "secrets", json: '{"seal":"s"}' },
  { kind: "lease", id: -3n, grantedSeconds: 60, secondsLeft: 12 },
  key("/registry/a", Buffer.from([0, 255, 10])),
  key("k8sd/cluster", Buffer.from("{}")),
  { kind: "end", keys: 2, leases: 1, hash: "ab" },
];

async function* asStream(all: readonly SnapshotRecord[]): AsyncGenerator<SnapshotRecord> {
  yield* all;
}

async function write(path: string, all = records, of = lock) {
  const { keys, hint } = keysForNew(of);
  const header = { ...aHeader(), key: hint };
  return { header, ...(await writeSnapshotFile(path, header, asStream(all), keys, signal)) };
}

const read = (path: string): Promise<readonly SnapshotRecord[]> =>
  readSnapshotFile(path, unlock, (content) => Readable.from(content).toArray(), signal);

describe("the file of a snapshot", () => {
  test("gives back what was written, and is its owner's alone", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "a");
    const { header, bytes } = await write(path);
    expect(await readSnapshotHeader(path)).toEqual(header);
    expect(await read(path)).toEqual(records);
    const { mode, size } = await stat(path);
    expect([mode & 0o777, size]).toEqual([0o600, bytes]);
    expect((await readFile(path)).includes("registry")).toBe(false);
  });

  test("is not written over another one", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "a");
    await write(path);
    await expect(write(path)).rejects.toThrow("EEXIST");
  });

  test("keeps large values in bounded memory, compressed", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "a");
    const value = Buffer.alloc(1024 * 1024, "text that repeats ");
    async function* many(): AsyncGenerator<SnapshotRecord> {
      for (let at = 0; at < 200; at++) yield key(`/registry/${at}`, value);
      yield { kind: "end", keys: 200, leases: 0, hash: "" };
    }
    const { keys, hint } = keysForNew(lock);
    global.gc?.();
    const before = process.memoryUsage().rss;
    const { bytes } = await writeSnapshotFile(path, { ...aHeader(), key: hint }, many(), keys, signal);
    let seen = 0;
    await readSnapshotFile(
      path,
      unlock,
      async (content) => {
        for await (const record of content) if (record.kind === "key" && value.equals(record.kv.value)) seen += 1;
      },
      signal,
    );
    expect(seen).toBe(200);
    expect(bytes).toBeLessThan(2 * 1024 * 1024);
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024);
  });

  test("is not read with another key, nor when it is no snapshot or of another format", async () => {
    await using folder = await temporaryFolder();
    const [other, none, newer] = ["other", "none", "newer"].map((name) => join(folder.path, name)) as [
      string,
      string,
      string,
    ];
    await write(other, records, createSnapshotKey().lock);
    await expect(read(other)).rejects.toThrow(/it needs the key [0-9a-f]{16}, and this is/);
    await writeFile(none, "something else");
    await expect(read(none)).rejects.toThrow("is no snapshot of k8sd");
    await write(newer);
    const bytes = await readFile(newer);
    bytes.writeUInt8(2, 8);
    await writeFile(newer, bytes);
    await expect(read(newer)).rejects.toThrow("it has format 2, and this program knows 1");
    await expect(readSnapshotHeader(newer)).rejects.toThrow("it has format 2");
  });

  test("that lacks records is not complete", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "a");
    await write(path, records.toSpliced(2, 1));
    await expect(inspectSnapshot(path, unlock, { prefix: "k8sd/", signal })).rejects.toThrow("it is not complete");
  });

  test("tells the values that are asked for", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "a");
    await write(path);
    const { values, secrets, totals } = await inspectSnapshot(path, unlock, { prefix: "k8sd/", signal });
    expect([...values]).toEqual([["k8sd/cluster", "{}"]]);
    expect(secrets).toBe('{"seal":"s"}');
    expect(totals).toEqual({ keys: 2, leases: 1, hash: "ab" });
  });
});

describe("a damaged file", () => {
  let whole: Buffer;
  beforeAll(async () => {
    await using folder = await temporaryFolder();
    await write(join(folder.path, "a"));
    whole = await readFile(join(folder.path, "a"));
  });

  test("is refused wherever it was cut off", { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "cut");
    for (let length = 0; length < whole.length; length++) {
      await writeFile(path, whole.subarray(0, length));
      await expect(read(path), `${length} of ${whole.length}`).rejects.toThrow(/cannot open the snapshot: /);
    }
  });

  test("is refused whichever byte changed", { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "changed");
    for (let at = 0; at < whole.length; at++) {
      const changed = Buffer.from(whole);
      changed.writeUInt8((whole[at] ?? 0) ^ (1 << (at % 8)), at);
      await writeFile(path, changed);
      await expect(read(path), `byte ${at} of ${whole.length}`).rejects.toThrow(/cannot open the snapshot: /);
    }
  });

  test("is refused when something follows", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "longer");
    await writeFile(path, Buffer.concat([whole, Buffer.from([0])]));
    await expect(read(path)).rejects.toThrow("it was damaged or changed");
  });
});
