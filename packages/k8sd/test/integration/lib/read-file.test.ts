import { mkdtempDisposable, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exists, namesIn, readTextIfThere, readTextOrEmpty, sizeIfThere } from "../../../src/lib/read-file.ts";

test("what is there is read", async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), "read-file-"));
  const { path } = directory;
  await writeFile(join(path, "b"), "five!");
  await writeFile(join(path, "a"), "");

  expect(await exists(join(path, "b"))).toBe(true);
  expect(await readTextIfThere(join(path, "b"))).toBe("five!");
  expect(await readTextIfThere(join(path, "a"))).toBe("");
  expect(await sizeIfThere(join(path, "b"))).toBe(5);
  expect(await namesIn(path)).toEqual(["a", "b"]);
});

test("what is not there is no error", async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), "read-file-"));
  const missing = join(directory.path, "none", "file");

  expect(await exists(missing)).toBe(false);
  expect(await readTextIfThere(missing)).toBeUndefined();
  expect(await readTextOrEmpty(missing)).toBe("");
  expect(await sizeIfThere(missing)).toBeUndefined();
  expect(await namesIn(missing)).toEqual([]);
});

test("nothing exists below a file", async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), "read-file-"));
  await writeFile(join(directory.path, "file"), "");

  expect(await exists(join(directory.path, "file", "below"))).toBe(false);
});

test("what is there and cannot be read is an error", async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), "read-file-"));

  await expect(readTextOrEmpty(directory.path)).rejects.toThrow("EISDIR");
});
