import { appendFile, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

import { readTail, rotateLog } from "../../../src/host/service-log.ts";
import { createTestHost, type TestHost } from "../../support/fake-host.ts";

let host: TestHost;
let path: string;
beforeEach(async () => {
  host = await createTestHost();
  path = join(host.root, "svc.log");
});
afterEach(() => host[Symbol.asyncDispose]());

test("the tail is the last lines, whole ones, also of a large file and of an unfinished line", async () => {
  expect(await readTail(path, 3)).toEqual([]);
  await appendFile(path, `${"x".repeat(99)}\n`.repeat(10_000));
  await appendFile(path, "a\nb\nunfinished");
  expect(await readTail(path, 3)).toEqual(["a", "b", "unfinished"]);
  expect(await readTail(path, 0)).toEqual([]);
  const all = await readTail(path, 1_000_000);
  expect(all.length).toBeLessThan(3_000);
  expect(new Set(all)).toEqual(new Set(["x".repeat(99), "a", "b", "unfinished"]));
});

test("a line without end is cut", async () => {
  await appendFile(path, "y".repeat(100_000));
  expect(await readTail(path, 1)).toEqual(["y".repeat(4096)]);
});

test("a full log moves aside, its writer goes on in the emptied file", async () => {
  await rotateLog(path, 10);
  await appendFile(path, "0123456789");
  await rotateLog(path, 10);
  expect((await stat(path)).size).toBe(10);
  await appendFile(path, "+");
  await rotateLog(path, 10);
  await appendFile(path, "next");
  expect(await readFile(path, "utf8")).toBe("next");
  expect(await readFile(`${path}.1`, "utf8")).toBe("0123456789+");
});
