import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { stageSnap } from "../../../../../snap/stage.ts";
import { allComponents } from "../../../src/components/wanted.ts";

const real = resolve(import.meta.dirname, "../../../../..");
let base: string;
let repository: string;
let components: string;
let out: string;

/** A checkout with small bundles that say what they are, and upstream programs that are scripts. */
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "k8s-stage-"));
  repository = join(base, "repository");
  components = join(base, "components");
  out = join(base, "out");
  await mkdir(join(repository, "packages/k8sd/dist/k8sd"), { recursive: true });
  await mkdir(join(repository, "packages/k8sd/dist/k8s-datastore"), { recursive: true });
  await mkdir(join(repository, "packages/cli/dist/k8s"), { recursive: true });
  await cp(join(real, "snap"), join(repository, "snap"), { recursive: true });
  await symlink(join(real, "node_modules"), join(repository, "node_modules"));
  await symlink(join(real, "packages/k8sd/node_modules"), join(repository, "packages/k8sd/node_modules"));
  for (const file of [
    "cli/dist/k8s/k8s.cjs",
    "k8sd/dist/k8sd/k8sd.js",
    "k8sd/dist/k8sd/k8sd-part.js",
    "k8sd/dist/k8s-datastore/k8s-datastore.js",
    "k8sd/dist/k8s-datastore/k8s-datastore-part.js",
    "k8sd/dist/k8s-apiserver-proxy.js",
  ]) {
    await writeFile(join(repository, "packages", file), bundle(file));
  }
  await mkdir(join(components, "bin/cni"), { recursive: true });
  for (const name of ["kubernetes", "containerd", "etcd", "runc", "kubectl", "cni/bridge"]) {
    await writeFile(join(components, "bin", name), `#!/bin/sh\necho ${name}\n`, { mode: 0o755 });
  }
  for (const name of ["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet"]) {
    await symlink("kubernetes", join(components, "bin", name));
  }
});

afterEach(() => rm(base, { recursive: true, force: true }));

function bundle(name: string): string {
  return `import Database from "better-sqlite3";
const [{ version }] = new Database(":memory:").prepare("select sqlite_version() as version").all();
console.log(JSON.stringify({ name: "${name}", snap: process.env.SNAP, common: process.env.SNAP_COMMON, arguments: process.argv.slice(2), sqlite: version }));
`;
}

describe("the staged tree", () => {
  test("holds every program that the package starts", async () => {
    await stageSnap({ out, components, repository });
    const snapcraft: unknown = parse(await readFile(join(real, "snap/snapcraft.yaml"), "utf8"));
    const { apps } = snapcraft as { apps: Record<string, { command: string; before?: string[] }> };
    expect(Object.keys(apps)).toEqual(
      expect.arrayContaining(["k8s", "k8sd", ...allComponents.map(({ name }) => name)]),
    );
    for (const [name, { command, before = [] }] of Object.entries(apps)) {
      const [program = "", argument] = command.split(" ");
      for (const path of [program, ...(argument === undefined ? [] : [`bin/${argument}`])]) {
        expect((await stat(join(out, path))).mode & 0o111, `${name}: ${path}`).toBe(0o111);
      }
      expect(Object.keys(apps)).toEqual(expect.arrayContaining(before));
    }
  });

  test("runs our programs on its own Node with SQLite, through any link and without an environment", async () => {
    await stageSnap({ out, repository });
    await symlink(join(out, "bin/k8s-datastore"), join(base, "link"));
    const { stdout } = await execa(join(base, "link"), ["a b", "$c"], {
      extendEnv: false,
      env: { PATH: "/usr/bin:/bin" },
    });
    expect(JSON.parse(stdout)).toEqual({
      name: "k8sd/dist/k8s-datastore/k8s-datastore.js",
      snap: out,
      common: "/var/snap/k8s/common",
      arguments: ["a b", "$c"],
      sqlite: expect.stringMatching(/^3\./),
    });
    expect(await readFile(join(out, "lib/k8s-datastore-part.js"), "utf8")).toContain("k8s-datastore-part.js");
  });

  test.each([
    ["its own variables count", (snap: string) => ({ SNAP: snap, SNAP_COMMON: "/common" }), "/common"],
    ["a state directory alone counts", () => ({ SNAP_COMMON: "/common" }), "/common"],
    ["those of another snap do not", () => ({ SNAP: "/snap/editor/1", SNAP_COMMON: "/other" }), "/var/snap/k8s/common"],
  ])("%s", async (_case, variables, common) => {
    await stageSnap({ out, repository });
    const env = { PATH: "/usr/bin:/bin", ...variables(out) };
    const { stdout } = await execa(join(out, "bin/k8sd"), { extendEnv: false, env });
    expect(JSON.parse(stdout)).toMatchObject({ name: "k8sd/dist/k8sd/k8sd.js", snap: out, common });
    expect(await readFile(join(out, "lib/k8sd-part.js"), "utf8")).toContain("k8sd-part.js");
  });

  test("is left alone by a second run, and follows what changed", async () => {
    const first = await stageSnap({ out, components, repository });
    expect(first).toMatchObject({ changed: first.files, removed: 0 });
    expect(await stageSnap({ out, components, repository })).toEqual({ files: first.files, changed: 0, removed: 0 });

    await writeFile(join(repository, "packages/cli/dist/k8s/k8s.cjs"), "// longer than before, and newer\n".repeat(50));
    await rm(join(components, "bin/etcd"));
    expect(await stageSnap({ out, components, repository })).toEqual({
      files: first.files - 1,
      changed: 1,
      removed: 1,
    });
    expect(await readFile(join(out, "lib/k8s/k8s.cjs"), "utf8")).toContain("newer");
    expect(await readdir(join(out, "bin"))).not.toContain("etcd");
  });

  test("without upstream programs holds ours alone", async () => {
    await stageSnap({ out, repository });
    expect((await readdir(join(out, "bin"))).sort()).toEqual([
      "k8s",
      "k8s-apiserver-proxy",
      "k8s-datastore",
      "k8sd",
      "node",
      "run-service",
    ]);
  });

  test("carries one native library of SQLite", async () => {
    await stageSnap({ out, repository });
    expect(await readdir(join(out, "lib/node_modules/better-sqlite3/prebuilds"))).toEqual([
      `linux-${process.arch}.node`,
    ]);
  });

  test("is never laid over a folder that holds something else", async () => {
    await mkdir(out);
    await writeFile(join(out, "mine"), "");
    await expect(stageSnap({ out, repository })).rejects.toThrow("it holds other files");
    expect(await readdir(out)).toEqual(["mine"]);
  });

  test("says what is missing and how to get it", async () => {
    await rm(join(repository, "packages/k8sd/dist/k8sd/k8sd.js"));
    await expect(stageSnap({ out, repository })).rejects.toThrow(/k8sd\.js is missing; build first/);
  });
});
