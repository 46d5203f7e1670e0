import { mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Cache, cacheDirectory, cacheKey, createCache, linkTree } from "../cache.ts";
import { takeLock } from "../lock.ts";
import { temporaryDirectory } from "./support.ts";

const signal = new AbortController().signal;

function aCache(directory: string): Cache {
  return createCache({ directory, signal, report: () => undefined });
}

describe("the cache", () => {
  it("lies where the user's cache directory is", () => {
    expect(cacheDirectory({ XDG_CACHE_HOME: "/somewhere" })).toBe("/somewhere/k8sd");
    expect(cacheDirectory({ XDG_CACHE_HOME: "" })).toMatch(/\/\.cache\/k8sd$/);
  });

  it("has another key for any other input", () => {
    const keys = [
      ["tool", { version: "1" }],
      ["tool", { version: "2" }],
      ["other", { version: "1" }],
    ] as const;
    expect(new Set(keys.map(([name, inputs]) => cacheKey(name, inputs))).size).toBe(3);
    expect(cacheKey("tool", { version: "1" })).toBe(cacheKey("tool", { version: "1" }));
  });

  it("makes an entry once, also when it is wanted many times at once", async () => {
    await using directory = await temporaryDirectory();
    let made = 0;
    const obtain = (): Promise<{ n: number }> =>
      aCache(directory.path).obtain("parts", "tool-1", async (path) => {
        made += 1;
        await writeFile(join(path, "file"), "content");
        return { n: made };
      });
    expect(await Promise.all([obtain(), obtain(), obtain()])).toEqual([{ n: 1 }, { n: 1 }, { n: 1 }]);
    expect(await obtain()).toEqual({ n: 1 });
    expect(await readFile(join(directory.path, "parts", "tool-1", "file"), "utf8")).toBe("content");
  });

  it("keeps nothing of an entry whose making failed, and makes it the next time", async () => {
    await using directory = await temporaryDirectory();
    const cache = aCache(directory.path);
    const failing = cache.obtain("parts", "tool-1", async (path) => {
      await writeFile(join(path, "half"), "");
      throw new Error("no luck");
    });
    await expect(failing).rejects.toThrow("no luck");
    expect(await cache.find("parts", "tool-1")).toBeUndefined();
    expect(await readdir(join(directory.path, "tmp"))).toEqual([]);
    expect(await cache.obtain("parts", "tool-1", async () => "made")).toBe("made");
    expect(await readdir(cache.path("parts", "tool-1"))).toEqual(["record.json"]);
  });

  it("replaces a directory that has no record", async () => {
    await using directory = await temporaryDirectory();
    const cache = aCache(directory.path);
    await mkdir(join(cache.path("parts", "tool-1"), "leftover"), { recursive: true });
    await cache.obtain("parts", "tool-1", async () => "made");
    expect(await readdir(cache.path("parts", "tool-1"))).toEqual(["record.json"]);
  });

  it("forgets entries that nobody used for a month and keeps the others", async () => {
    await using directory = await temporaryDirectory();
    const cache = aCache(directory.path);
    for (const name of ["old", "used", "new"]) await cache.obtain("parts", name, async () => name);
    const longAgo = new Date(Date.now() - 40 * 24 * 3600_000);
    for (const name of ["old", "used"]) await utimes(cache.path("parts", name), longAgo, longAgo);
    await cache.find("parts", "used");
    await cache.prune();
    expect((await readdir(join(directory.path, "parts"))).toSorted()).toEqual(["new", "used"]);
  });

  it("assembles trees without copying", async () => {
    await using directory = await temporaryDirectory();
    const [from, to] = [join(directory.path, "from"), join(directory.path, "to")];
    await mkdir(join(from, "bin", "cni"), { recursive: true });
    await mkdir(join(to, "bin"), { recursive: true });
    await writeFile(join(from, "bin", "cni", "bridge"), "bridge");
    await writeFile(join(to, "bin", "other"), "other");
    await symlink("cni/bridge", join(from, "bin", "link"));
    await linkTree(from, to);
    expect((await readdir(join(to, "bin"))).toSorted()).toEqual(["cni", "link", "other"]);
    expect(await readFile(join(to, "bin", "link"), "utf8")).toBe("bridge");
    const inode = async (tree: string): Promise<number> => (await stat(join(tree, "bin/cni/bridge"))).ino;
    expect(await inode(to)).toBe(await inode(from));
  });
});

describe("the lock", () => {
  it("is held by one at a time and passes on", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "lock");
    const order: string[] = [];
    const first = await takeLock(path, { signal, deadlineMs: 5_000 });
    const second = takeLock(path, { signal, deadlineMs: 5_000, onWait: (pid) => order.push(`wait for ${pid}`) }).then(
      async (lock) => {
        order.push("second has it");
        await lock[Symbol.asyncDispose]();
      },
    );
    await expect.poll(() => order).toEqual([`wait for ${process.pid}`]);
    await first[Symbol.asyncDispose]();
    await second;
    expect(order).toEqual([`wait for ${process.pid}`, "second has it"]);
    expect(await readdir(directory.path)).toEqual([]);
  });

  it.each([
    ["is gone", 2 ** 22 + 1, "1"],
    ["is another one with the same pid now", process.pid, "1"],
  ])("of a process that %s is taken over", async (_what, pid, started) => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "lock");
    await (await takeLock(path, { signal, deadlineMs: 1_000 }))[Symbol.asyncDispose]();
    await mkdir(path);
    await writeFile(join(path, "owner.json"), JSON.stringify({ host: hostname(), pid, started, token: "x" }));
    await using _lock = await takeLock(path, { signal, deadlineMs: 1_000 });
    expect(JSON.parse(await readFile(join(path, "owner.json"), "utf8"))).toMatchObject({ pid: process.pid });
  });

  it("that is held for too long is an error that names the process", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "lock");
    await using _held = await takeLock(path, { signal, deadlineMs: 1_000 });
    await expect(takeLock(path, { signal, deadlineMs: 300 })).rejects.toThrow(
      `process ${process.pid} has held it for too long`,
    );
    expect(await readdir(directory.path)).toEqual(["lock"]);
  });
});
