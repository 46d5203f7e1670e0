import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { removeDatabaseUrl, sealDatabaseUrl, writeDatabaseUrl } from "../../../src/cluster/migrate/access.ts";
import { createSeal } from "../../../src/cluster/seal.ts";

const url = "postgres://k8s:hidden-word@db.example/cluster?sslmode=verify-full";
const seal = createSeal(Buffer.alloc(32, 7));

async function somePaths() {
  const folder = await mkdtemp(join(tmpdir(), "k8sd-access-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return { clusterSecrets: join(folder, "secrets.sealed"), datastoreUrl: join(folder, "url") };
}

test("what opens a database is sealed with the cluster's other secrets, and goes without them", async () => {
  const paths = await somePaths();
  const secrets = async () => {
    const sealed = await readFile(paths.clusterSecrets, "utf8");
    expect(sealed).not.toContain("hidden-word");
    return JSON.parse(seal.open(sealed, "cluster-secrets")) as unknown;
  };
  await writeFile(paths.clusterSecrets, seal.seal(JSON.stringify({ "ca-key": "key" }), "cluster-secrets"));
  // After a crash it is done once more.
  for (const _again of [1, 2]) await sealDatabaseUrl(paths, url, seal);
  expect(await secrets()).toEqual({ "ca-key": "key", "datastore-url": url });
  expect((await stat(paths.clusterSecrets)).mode & 0o777).toBe(0o600);
  for (const _again of [1, 2]) await sealDatabaseUrl(paths, undefined, seal);
  expect(await secrets()).toEqual({ "ca-key": "key" });
});

test("the server's file with the password is for root alone, and gone afterwards", async () => {
  const paths = await somePaths();
  await writeDatabaseUrl(paths, url);
  expect(await readFile(paths.datastoreUrl, "utf8")).toBe(url);
  expect((await stat(paths.datastoreUrl)).mode & 0o777).toBe(0o600);
  for (const _again of [1, 2]) await removeDatabaseUrl(paths);
  await expect(stat(paths.datastoreUrl)).rejects.toThrow("ENOENT");
});
