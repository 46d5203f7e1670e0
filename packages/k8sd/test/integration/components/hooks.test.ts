import { access, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { type TemporaryNode, temporaryNode } from "./support.ts";

const hooks = resolve(import.meta.dirname, "../../../../../snap/hooks");

function run(node: TemporaryNode, hook: string) {
  const env = { PATH: "/usr/bin:/bin", SNAP: join(node.base, "snap"), SNAP_COMMON: join(node.base, "common") };
  return execa(join(hooks, hook), { extendEnv: false, env, reject: false });
}

test("the install hook gives k8sd its arguments once and keeps what the administrator made of them", async () => {
  await using node = await temporaryNode();
  const file = join(node.base, "common/args/k8sd");
  expect((await run(node, "install")).exitCode).toBe(0);
  expect(await readFile(file, "utf8")).toBe(`--state-dir="${"$"}{SNAP_COMMON}/var/lib/k8sd/state"\n`);
  expect((await stat(join(node.base, "common/args"))).mode & 0o777).toBe(0o700);
  expect((await stat(file)).mode & 0o777).toBe(0o600);

  await writeFile(file, "--log-level=1\n");
  await mkdir(join(node.base, "snap/etc/configurations"), { recursive: true });
  await writeFile(join(node.base, "snap/etc/configurations/audit.yaml"), "a");
  expect((await run(node, "install")).exitCode).toBe(0);
  expect(await readFile(file, "utf8")).toBe("--log-level=1\n");
  expect(await readFile(join(node.base, "common/etc/configurations/audit.yaml"), "utf8")).toBe("a");
});

test("a refresh leaves its mark for k8sd, and a new one starts without it", async () => {
  await using node = await temporaryNode();
  await mkdir(join(node.base, "common"));
  const mark = join(node.base, "common/lock/post-refresh");
  expect((await run(node, "post-refresh")).exitCode).toBe(0);
  expect((await stat(mark)).mode & 0o777).toBe(0o600);
  expect((await run(node, "pre-refresh")).exitCode).toBe(0);
  await expect(access(mark)).rejects.toThrow();
});

test("a node whose datastore this release cannot read stays on its release", async () => {
  await using node = await temporaryNode();
  const old = join(node.base, "common/var/lib/k8s-dqlite");
  await mkdir(old, { recursive: true });
  expect((await run(node, "post-refresh")).exitCode).toBe(0);
  await writeFile(join(old, "data"), "");
  const { exitCode, stderr } = await run(node, "post-refresh");
  expect(exitCode).toBe(1);
  expect(stderr).toContain(`keeps its data in k8s-dqlite (${old})`);
});
