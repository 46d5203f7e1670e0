import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createAuthorization } from "../../../src/reconcile/authorization.ts";
import { aNode } from "../../unit/components/support.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "authorization-"));
});
afterEach(() => rm(directory, { recursive: true }));

test("the file that kube-apiserver reads names the members as they come and go, and is not written without need", async () => {
  const path = join(directory, "authorization.yaml");
  const plain = aNode();
  const view = { ...plain, paths: { ...plain.paths, authorizationConfig: path } };
  let members: readonly { id: string }[] = [];
  const reconciler = createAuthorization({ nodeId: "own", view }, { members: () => members });
  const named = async () =>
    [...(await readFile(path, "utf8")).matchAll(/'k8sd\.io\/node\/([^']+)'/g)].map(([, id]) => id);
  const { signal } = new AbortController();

  members = [{ id: "other" }];
  await reconciler.reconcile(signal);
  await expect(readFile(path)).rejects.toThrow("ENOENT");

  members = [{ id: "own" }, { id: "w1" }];
  await reconciler.reconcile(signal);
  expect(await named()).toEqual(["own", "w1"]);

  const { ino } = await stat(path);
  members = [{ id: "w1" }, { id: "own" }];
  await reconciler.reconcile(signal);
  expect((await stat(path)).ino).toBe(ino);

  members = [{ id: "own" }];
  await reconciler.reconcile(signal);
  expect(await named()).toEqual(["own"]);
});
