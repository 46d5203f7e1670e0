import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createS3Store } from "@k8sd/k8sd/datastore/snapshot/s3/client.ts";
import type { S3Deps, S3Options } from "@k8sd/k8sd/datastore/snapshot/s3/request.ts";
import { describe, expect, test } from "vitest";
import { accessKeyId, createS3Server, type Fault, secretAccessKey } from "../scenarios/snapshot/s3-server.ts";
import { temporaryFolder } from "./support/servers.ts";

const signal = AbortSignal.timeout(600_000);
const kibibyte = 1024;

async function startStore(prefix = "a b/(x)/") {
  const fake = createS3Server("bucket");
  const { server, objects } = fake;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const options: S3Options = {
    url: `http://127.0.0.1:${port}`,
    bucket: "bucket",
    prefix,
    region: "eu-1",
    credentials: { accessKeyId, secretAccessKey },
  };
  return {
    options,
    objects,
    fake,
    /** Asked for an object that matches, it goes wrong so many times. */
    break: (pattern: RegExp, fault: Fault, times = 1) => {
      let left = times;
      fake.fault = ({ method, url }) => (pattern.test(`${method} ${url}`) && left-- > 0 ? fault : undefined);
    },
    store: (changes: Partial<S3Options> = {}, deps: Partial<S3Deps> = {}) =>
      createS3Store(
        { ...options, ...changes },
        { now: Date.now, pauses: [5, 5, 5], partBytes: 16 * kibibyte, ...deps },
      ),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

describe("an S3-compatible store", () => {
  test("takes files, gives their beginning, lists all pages and removes, below its prefix", async () => {
    await using folder = await temporaryFolder();
    await using started = await startStore();
    const store = started.store();
    const content = Buffer.alloc(3_000_000, "content ");
    await writeFile(join(folder.path, "file"), content);
    await store.putFile("big", join(folder.path, "file"), signal);
    for (const name of ["b", "c", "d", "e"]) await store.put(name, name, signal);
    started.objects.set("elsewhere/f", Buffer.from("f"));
    started.objects.set("a b/(x)/below/g", Buffer.from("g"));
    expect(started.objects.get("a b/(x)/big")?.equals(content)).toBe(true);
    const { content: beginning, sent } = await store.head("big", 20, signal);
    expect([beginning.toString(), sent]).toEqual(["content content cont", 3_000_000]);
    const names = (await store.list(signal)).map(({ name, bytes }) => [name, bytes]);
    expect(names).toEqual([
      ["b", 1],
      ["big", 3_000_000],
      ["c", 1],
      ["d", 1],
      ["e", 1],
    ]);
    await store.remove("c", signal);
    await store.remove("c", signal);
    expect((await store.list(signal)).map(({ name }) => name)).not.toContain("c");
  });

  test("that refuses says why", async () => {
    await using started = await startStore();
    const wrong = { accessKeyId, secretAccessKey: "another" };
    await expect(started.store({ credentials: wrong }).list(signal)).rejects.toMatchObject({
      kind: "forbidden",
      message: expect.stringContaining("SignatureDoesNotMatch"),
    });
    const skewed = started.store({}, { now: () => Date.now() - 3_600_000 });
    await expect(skewed.put("a", "", signal)).rejects.toThrow("RequestTimeTooSkewed");
    await expect(started.store({ bucket: "other" }).list(signal)).rejects.toMatchObject({ kind: "not-found" });
    await expect(started.store().head("missing", 10, signal)).rejects.toThrow("NoSuchKey");
    await expect(started.store({ url: "http://127.0.0.1:1" }).list(signal)).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining("http://127.0.0.1:1 does not answer"),
    });
  });
});

/** Of several parts, no two alike. */
async function bigFile(folder: string): Promise<{ readonly path: string; readonly content: Buffer }> {
  const content = Buffer.alloc(33 * kibibyte);
  for (let at = 0; at < content.length; at += 64) content.writeUInt32BE(at, at);
  const path = join(folder, "big");
  await writeFile(path, content);
  return { path, content };
}

const momentary: readonly [string, Fault][] = [
  ["says 500", { status: 500, code: "InternalError" }],
  ["says 503", { status: 503, code: "SlowDown" }],
  ["says that it waited too long", { status: 400, code: "RequestTimeout" }],
  ["cuts the connection", "cut"],
  ["does it, and its answer is lost", "lost"],
  ["says nothing", "silent"],
];

describe("an upload to a store that", () => {
  test.each(momentary)("%s for a moment is there, whole and once", async (_, fault) => {
    await using folder = await temporaryFolder();
    const { path, content } = await bigFile(folder.path);
    await using started = await startStore();
    const store = started.store({}, { silentMs: 1_500 });
    for (const request of [/^POST .*uploads=/, /^PUT .*partNumber=2/, /^POST .*uploadId=/]) {
      started.break(request, fault, 2);
      await store.putFile("big", path, signal);
      expect(started.objects.get("a b/(x)/big")?.equals(content), String(request)).toBe(true);
      expect((await store.head("big", 1, signal)).sent).toBe(content.length);
      await store.discard("big", signal);
      expect([started.objects.size, started.fake.uploads.size], String(request)).toEqual([0, 0]);
    }
  });

  test("goes on failing leaves no object and nothing begun, and says what the store said", async () => {
    await using folder = await temporaryFolder();
    const { path } = await bigFile(folder.path);
    await using started = await startStore();
    started.break(/^PUT .*partNumber=3/, { status: 503, code: "SlowDown" }, 100);
    await expect(started.store().putFile("big", path, signal)).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining("SlowDown"),
    });
    expect([await started.store().list(signal), started.fake.uploads.size]).toEqual([[], 0]);
  });

  test("denies is asked once", async () => {
    await using folder = await temporaryFolder();
    const { path } = await bigFile(folder.path);
    await using started = await startStore();
    started.break(/^PUT .*partNumber=2/, { status: 403, code: "AccessDenied" }, 100);
    await expect(started.store().putFile("big", path, signal)).rejects.toMatchObject({
      kind: "forbidden",
      remedy: expect.stringContaining("rights"),
    });
    expect(started.fake.requests.filter((request) => request.includes("partNumber=2")).length).toBe(1);
    expect(started.fake.uploads.size).toBe(0);
  });

  test("is given up in its middle leaves nothing, also when it is only found later", async () => {
    await using folder = await temporaryFolder();
    const { path } = await bigFile(folder.path);
    await using started = await startStore();
    const cancel = new AbortController();
    const given = started.store().putFile("big", path, cancel.signal, () => cancel.abort(new Error("given up")));
    await expect(given).rejects.toThrow("given up");
    expect([started.objects.size, started.fake.uploads.size]).toEqual([0, 0]);
    // One whose sender was killed.
    started.fake.uploads.set("left", { key: "a b/(x)/big", sent: "1", parts: new Map() });
    started.fake.uploads.set("other", { key: "a b/(x)/bigger", sent: "1", parts: new Map() });
    await started.store().discard("big", signal);
    expect([...started.fake.uploads.keys()]).toEqual(["other"]);
  });

  test("says in its answer that it was not put together is asked again", async () => {
    await using folder = await temporaryFolder();
    const { path, content } = await bigFile(folder.path);
    await using started = await startStore();
    started.break(/^POST .*uploadId=/, { status: 200, code: "InternalError" });
    await started.store().putFile("big", path, signal);
    expect(started.objects.get("a b/(x)/big")?.equals(content)).toBe(true);
  });
});

describe("a fetch from a store that", () => {
  const faults = [...momentary, ["ends in the middle", "half"] as const];

  test.each(faults)("%s goes on where it was", async (_, fault) => {
    await using folder = await temporaryFolder();
    const { content } = await bigFile(folder.path);
    const path = join(folder.path, "fetched");
    await using started = await startStore("");
    started.objects.set("big", content);
    // It may break more often than it is tried in a row, as long as something comes.
    started.break(/^GET \/bucket\/big/, fault, fault === "half" ? 12 : 2);
    await started.store({}, { silentMs: 1_500 }).getFile("big", path, signal);
    expect((await readFile(path)).equals(content)).toBe(true);
  });

  test("stopped before begins after what is there", async () => {
    await using folder = await temporaryFolder();
    const { content } = await bigFile(folder.path);
    const path = join(folder.path, "fetched");
    await using started = await startStore("");
    started.objects.set("big", content);
    await writeFile(path, content.subarray(0, 30 * kibibyte));
    const seen: number[] = [];
    await started.store().getFile("big", path, signal, (done) => seen.push(done));
    expect(Math.min(...seen)).toBeGreaterThan(30 * kibibyte);
    expect((await readFile(path)).equals(content)).toBe(true);
    await started.store().getFile("big", path, signal);
    await writeFile(path, Buffer.concat([content, content]));
    await started.store().getFile("big", path, signal);
    expect((await readFile(path)).equals(content)).toBe(true);
  });

  test("gives no parts, or denies, says so", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "fetched");
    await using started = await startStore("");
    started.objects.set("big", Buffer.from("content"));
    started.break(/big/, "whole", 1);
    await expect(started.store().getFile("big", path, signal)).rejects.toThrow("it gives no parts of what it holds");
    started.break(/big/, { status: 403, code: "AccessDenied" }, 1);
    await expect(started.store().getFile("big", path, signal)).rejects.toMatchObject({ kind: "forbidden" });
    await expect(started.store().getFile("none", path, signal)).rejects.toMatchObject({
      kind: "not-found",
      remedy: expect.stringContaining("k8s snapshot list"),
    });
  });
});
