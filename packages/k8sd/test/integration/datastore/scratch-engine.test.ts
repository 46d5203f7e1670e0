import { access } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { withScratchEngine } from "../../../src/datastore/scratch-engine.ts";
import { temporaryFolder } from "./support/engine-process.ts";

const entry = fileURLToPath(new URL("../../../src/datastore/engine/main.ts", import.meta.url));
const argv = [process.execPath, "-C", "source", entry];
const signal = AbortSignal.timeout(60_000);

test("a scratch datastore works and leaves nothing", async () => {
  await using folder = await temporaryFolder();
  const directory = join(folder.path, "scratch");
  const count = await withScratchEngine({ argv, directory, signal }, async ({ data }) => {
    await data.txn({ success: [{ op: "put", key: "a", value: "1" }] });
    return (await data.range({ prefix: "" })).count;
  });
  expect(count).toBe(1);
  await expect(access(directory)).rejects.toThrow("ENOENT");
});

test("a scratch datastore whose program fails says why", async () => {
  await using folder = await temporaryFolder();
  const directory = join(folder.path, "scratch");
  const wrong = [...argv, "--quota-backend-bytes", "none"];
  const using = () => withScratchEngine({ argv: wrong, directory, signal }, async () => 1);
  await expect(using()).rejects.toThrow("--quota-backend-bytes is none");
  const missing = () => withScratchEngine({ argv: ["/no/such/program"], directory, signal }, async () => 1);
  await expect(missing()).rejects.toThrow("ENOENT");
});

test("a scratch datastore is gone when what used it failed", async () => {
  await using folder = await temporaryFolder();
  const directory = join(folder.path, "scratch");
  const using = withScratchEngine({ argv, directory, signal }, () => Promise.reject(new Error("no use")));
  await expect(using).rejects.toThrow("no use");
  await expect(access(directory)).rejects.toThrow("ENOENT");
});
