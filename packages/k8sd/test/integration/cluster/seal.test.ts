import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createSealFile } from "../../../src/cluster/seal.ts";

async function sealPath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k8sd-seal-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, "seal.key");
}

test("callers at the same time get one key, and it is there after a restart", async () => {
  const path = await sealPath();
  const seal = createSealFile(path);
  const [first, ...others] = await Promise.all(Array.from({ length: 16 }, seal));
  const sealed = first?.seal("secret", "place") ?? "";
  for (const other of [...others, await createSealFile(path)()]) expect(other.open(sealed, "place")).toBe("secret");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test("the key that a join brings counts at once", async () => {
  const path = await sealPath();
  const seal = createSealFile(path);
  const own = await seal();
  await writeFile(path, Buffer.alloc(32, 7));
  const joined = await seal();
  expect(() => joined.open(own.seal("secret", "place"), "place")).toThrow();
});
