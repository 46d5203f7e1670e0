import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createS3Store, type S3Options } from "@k8sd/k8sd/datastore/snapshot/s3/client.ts";
import { describe, expect, test } from "vitest";
import { accessKeyId, createS3Server, secretAccessKey } from "../scenarios/snapshot/s3-server.ts";
import { temporaryFolder } from "./support/servers.ts";

const signal = AbortSignal.timeout(60_000);

async function startStore(prefix = "a b/(x)/") {
  const { server, objects } = createS3Server("bucket");
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
    store: (changes: Partial<S3Options> = {}, now = Date.now) => createS3Store({ ...options, ...changes }, now),
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
    expect((await store.head("big", 20, signal)).toString()).toBe("content content cont");
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
    const skewed = started.store({}, () => Date.now() - 3_600_000);
    await expect(skewed.put("a", "", signal)).rejects.toThrow("RequestTimeTooSkewed");
    await expect(started.store({ bucket: "other" }).list(signal)).rejects.toMatchObject({ kind: "not-found" });
    await expect(started.store().head("missing", 10, signal)).rejects.toThrow("NoSuchKey");
    await expect(started.store({ url: "http://127.0.0.1:1" }).list(signal)).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining("http://127.0.0.1:1 does not answer"),
    });
  });
});
