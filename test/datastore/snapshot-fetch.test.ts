import { createHash, randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createFetch } from "@k8sd/k8sd/cluster/snapshot/fetch.ts";
import { createFetchExecutors } from "@k8sd/k8sd/cluster/snapshot/fetch-executors.ts";
import type { FetchStep } from "@k8sd/k8sd/cluster/snapshot/fetch-plan.ts";
import { writeSnapshotFile } from "@k8sd/k8sd/datastore/snapshot/file.ts";
import { createSnapshotKey, keysForNew } from "@k8sd/k8sd/datastore/snapshot/key.ts";
import type { SnapshotRecord } from "@k8sd/k8sd/datastore/snapshot/records.ts";
import { createLogger } from "@k8sd/k8sd/log.ts";
import { createJournal } from "@k8sd/k8sd/node-db/journal.ts";
import { openNodeDb } from "@k8sd/k8sd/node-db/node-db.ts";
import { createRunner } from "@k8sd/k8sd/operations/runner.ts";
import { beforeAll, describe, expect, test } from "vitest";
import { accessKeyId, createS3Server, type Fault, secretAccessKey } from "../scenarios/snapshot/s3-server.ts";
import { temporaryFolder } from "./support/servers.ts";

const name = "20231114T221320Z-abcdefgh.k8s-snapshot";
const log = createLogger("silent");
const signal = new AbortController().signal;

async function* records(): AsyncGenerator<SnapshotRecord> {
  yield { kind: "secrets", json: "{}" };
  for (let at = 0; at < 40; at++) {
    const [key, value] = [Buffer.from(`k${at}`), randomBytes(8_192)];
    yield { kind: "key", kv: { key, value, createRevision: 2, modRevision: 2, version: 1, lease: 0n } };
  }
  yield { kind: "end", keys: 40, leases: 0, hash: "" };
}

let content: Buffer;
beforeAll(async () => {
  await using folder = await temporaryFolder();
  const { keys, hint } = keysForNew(createSnapshotKey().lock);
  const path = join(folder.path, "snapshot");
  const header = {
    id: randomUUID(),
    cluster: { id: "c", epoch: 1 },
    node: "n1",
    engine: "sqlite" as const,
    revision: 2,
    keys: 40,
    createdAt: 1_700_000_000_000,
    versions: {},
    key: hint,
  };
  await writeSnapshotFile(path, header, records(), keys, signal);
  content = await readFile(path);
});

/** A machine that belongs to no cluster, with a store that has the snapshot. */
async function start(folder: string) {
  const fake = createS3Server("bucket");
  fake.objects.set(`a/${name}`, content);
  fake.server.listen(0, "127.0.0.1");
  await once(fake.server, "listening");
  const db = openNodeDb(join(folder, `${randomUUID()}.db`));
  const runner = createRunner({ journal: createJournal(db, Date.now), log, now: Date.now });
  const directory = join(folder, "snapshots");
  const paths = { snapshots: directory };
  const host = { paths, preflight: { system: async () => [] } };
  const deps = { host, log, now: Date.now } as unknown as Parameters<typeof createFetchExecutors>[0];
  runner.register<FetchStep>("fetch-snapshot", createFetchExecutors(deps));
  const settings = () => Promise.reject(new Error("the datastore is away"));
  let member = false;
  const { fetch } = createFetch({ paths, runner, settings, isMember: () => member }, async (place) => {
    const path = join(place.directory, place.name);
    return { name, path, bytes: (await stat(path)).size };
  });
  const { port } = fake.server.address() as AddressInfo;
  const at = {
    url: `http://127.0.0.1:${port}`,
    bucket: "bucket",
    prefix: "a",
    region: "eu-1",
    "access-key-id": accessKeyId,
    "secret-access-key": secretAccessKey,
    ca: "",
  };
  return {
    fake,
    runner,
    db,
    directory,
    becomeMember: () => {
      member = true;
    },
    fetch: (changes: Partial<Parameters<typeof fetch>[0]> = {}) =>
      fetch({ name, directory: "", at, timeoutMs: 0, ...changes }, { requestId: randomUUID() }),
    files: async () => (await readdir(directory)).sort(),
    [Symbol.asyncDispose]: async () => {
      await runner.stop();
      db.close();
      fake.server.closeAllConnections();
      fake.server.close();
    },
  };
}

const denied: Fault = { status: 403, code: "AccessDenied" };

describe("a snapshot is fetched from a store", () => {
  test("by a machine that belongs to no cluster, for its owner alone, and no secret stays on the machine", async () => {
    await using folder = await temporaryFolder();
    await using machine = await start(folder.path);
    const { path } = await machine.fetch().result;
    expect((await readFile(path)).equals(content)).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await machine.files()).toEqual([name]);
    machine.db.exec("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
    for (const file of await readdir(folder.path)) {
      if (!file.includes(".db")) continue;
      expect((await readFile(join(folder.path, file))).includes(secretAccessKey), file).toBe(false);
    }
  });

  test("once: what is there and whole is not fetched again, what is damaged is not written over", async () => {
    await using folder = await temporaryFolder();
    await using machine = await start(folder.path);
    const { path } = await machine.fetch().result;
    machine.fake.requests.length = 0;
    await machine.fetch().result;
    expect(machine.fake.requests.length).toBe(1);
    await writeFile(path, content.subarray(0, 5_000));
    await expect(machine.fetch().result).rejects.toMatchObject({
      message: expect.stringContaining("is there already, and is damaged"),
      remedy: expect.stringContaining("Delete that file"),
    });
    expect((await stat(path)).size).toBe(5_000);
  });

  test("and goes on where it was interrupted; what another one left goes", async () => {
    await using folder = await temporaryFolder();
    await using machine = await start(folder.path);
    // All that is asked for after the beginning ends in its middle, and then the store denies.
    let times = 0;
    machine.fake.fault = ({ headers }) => {
      if (headers.range === "bytes=0-0") return undefined;
      times += 1;
      return times === 1 ? "half" : denied;
    };
    await expect(machine.fetch().result).rejects.toMatchObject({ kind: "forbidden" });
    expect(await machine.files()).toEqual([`.${name}.part`]);
    const had = (await stat(join(machine.directory, `.${name}.part`))).size;
    expect(had).toBeGreaterThan(0);

    const asked: string[] = [];
    machine.fake.fault = ({ headers }) => void asked.push(headers.range ?? "");
    await writeFile(join(machine.directory, ".20200101T000000Z-other.k8s-snapshot.part"), "left");
    const { path } = await machine.fetch().result;
    expect(asked).toContain(`bytes=${had}-`);
    expect((await readFile(path)).equals(content)).toBe(true);
    expect(await machine.files()).toEqual([name]);
  });

  test("from its beginning when what is there is of another file", async () => {
    await using folder = await temporaryFolder();
    await using machine = await start(folder.path);
    await mkdir(machine.directory);
    await writeFile(join(machine.directory, `.${name}.part`), randomBytes(9_000));
    const { path } = await machine.fetch().result;
    expect((await readFile(path)).equals(content)).toBe(true);
  });

  test.each([
    ["changed", (bytes: Buffer) => bytes.fill(7, 20_000, 20_001)],
    ["cut off", (bytes: Buffer) => bytes.subarray(0, bytes.length - 40)],
    ["none at all", () => Buffer.from("something else")],
  ])("but not one that is %s: nothing of it stays", async (_, damage) => {
    await using folder = await temporaryFolder();
    await using machine = await start(folder.path);
    machine.fake.objects.set(`a/${name}`, damage(Buffer.from(content)));
    const hash = createHash("sha256").update(machine.fake.objects.get(`a/${name}`) ?? "");
    expect(hash.digest("hex")).not.toBe(createHash("sha256").update(content).digest("hex"));
    await expect(machine.fetch().result).rejects.toThrow(`${name} is damaged`);
    expect(await machine.files()).toEqual([]);
  });

  test("and cancelled without a trace of success", async () => {
    await using folder = await temporaryFolder();
    await using machine = await start(folder.path);
    machine.fake.fault = ({ headers }) => (headers.range === "bytes=0-0" ? undefined : "silent");
    const run = machine.fetch();
    await expect.poll(() => machine.fake.requests.length, { timeout: 60_000 }).toBeGreaterThan(1);
    const [live] = machine.runner.list();
    expect(machine.runner.cancel(live?.id ?? "")).toBe(true);
    await expect(run.result).rejects.toMatchObject({ kind: "cancelled" });
    expect(await machine.files()).not.toContain(name);
  });

  test("that is named; without a cluster, or with one that does not answer, it says what to do", async () => {
    await using folder = await temporaryFolder();
    await using machine = await start(folder.path);
    const remedy = "Name it with --url, --bucket and --credentials.";
    await expect(machine.fetch({ at: undefined }).result).rejects.toMatchObject({ kind: "invalid", remedy });
    machine.becomeMember();
    await expect(machine.fetch({ at: undefined }).result).rejects.toMatchObject({ kind: "unavailable", remedy });
    for (const bad of ["../x.k8s-snapshot", "/x.k8s-snapshot", ".x.k8s-snapshot", "x"]) {
      await expect(machine.fetch({ name: bad }).result).rejects.toThrow("it is no name of a snapshot");
    }
    const other = "20240101T000000Z-missing0.k8s-snapshot";
    await expect(machine.fetch({ name: other }).result).rejects.toMatchObject({ kind: "not-found" });
  });
});
