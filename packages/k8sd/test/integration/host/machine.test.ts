import { mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { cniPlugins, installCniPlugins, removeCniPlugins } from "../../../src/host/cni-plugins.ts";
import { createDirectories, nodeDirectories } from "../../../src/host/directories.ts";
import { silentLog } from "../../../src/host/log.ts";
import { removeTuning, tuneSystem } from "../../../src/host/sysctl.ts";
import { createTestHost, type TestHost } from "../../support/fake-host.ts";

let host: TestHost;
beforeEach(async () => {
  host = await createTestHost();
});
afterEach(() => host[Symbol.asyncDispose]());

async function put(path: string, content: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content, { mode });
}
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o7777;

describe("directories", () => {
  test("have the modes of the contract, and those of other programs stay open", async () => {
    await createDirectories(nodeDirectories(host.paths));
    expect(await modeOf(host.paths.state)).toBe(0o711);
    for (const path of [host.paths.args, host.paths.confD, host.paths.lock, host.paths.pki, host.paths.kubernetes]) {
      expect(await modeOf(path)).toBe(0o700);
    }
    for (const path of [host.paths.cniConf, host.paths.cniBin, host.paths.kubeletRoot])
      expect(await modeOf(path)).toBe(0o755);
  });

  test("that exist keep their mode", async () => {
    await mkdir(host.paths.kubernetes, { recursive: true, mode: 0o755 });
    await createDirectories(nodeDirectories(host.paths));
    expect(await modeOf(host.paths.kubernetes)).toBe(0o755);
    expect(await modeOf(host.paths.pki)).toBe(0o700);
  });
});

describe("network plugins", () => {
  test("are links to the combined program; a second time changes nothing; removal takes only ours", async () => {
    await put(join(host.paths.bin, "cni"), "combined", 0o755);
    await put(join(host.paths.cniBin, "bridge"), "somebody else's", 0o755);
    expect(await installCniPlugins(host.paths)).toHaveLength(cniPlugins.length);
    expect(await readlink(join(host.paths.cniBin, "portmap"))).toBe("cni");
    expect(await readFile(join(host.paths.cniBin, "bridge"), "utf8")).toBe("somebody else's");
    expect(await modeOf(join(host.paths.cniBin, "cni"))).toBe(0o755);
    expect(await installCniPlugins(host.paths)).toEqual([]);
    await removeCniPlugins(host.paths);
    expect(await readdir(host.paths.cniBin)).toEqual(["bridge"]);
  });

  test("of a tree with single programs are copied, and copied anew when they differ", async () => {
    const source = join(host.paths.snap, "opt/cni/bin/portmap");
    await put(source, "one", 0o755);
    expect(await installCniPlugins(host.paths)).toEqual(["portmap"]);
    await writeFile(source, "two");
    expect(await installCniPlugins(host.paths)).toEqual(["portmap"]);
    expect(await readFile(join(host.paths.cniBin, "portmap"), "utf8")).toBe("two");
    expect(await readdir(host.paths.cniBin)).toEqual(["portmap"]);
  });

  test("a foreign link is not followed", async () => {
    await put(join(host.paths.snap, "opt/cni/bin/portmap"), "ours", 0o755);
    await put(join(host.root, "elsewhere"), "theirs");
    await mkdir(host.paths.cniBin, { recursive: true });
    await symlink(join(host.root, "elsewhere"), join(host.paths.cniBin, "portmap"));
    expect(await installCniPlugins(host.paths)).toEqual([]);
    expect(await readFile(join(host.root, "elsewhere"), "utf8")).toBe("theirs");
  });
});

describe("kernel settings", () => {
  const tune = (begin: boolean) =>
    tuneSystem({ paths: host.paths, begin, procSys: join(host.root, "proc/sys") }, silentLog);
  const live = (name: string): string => join(host.root, "proc/sys/fs/inotify", name);

  beforeEach(async () => {
    await put(live("max_user_instances"), "128\n");
    await put(live("max_user_watches"), "2000000\n");
    await put(join(host.root, "etc/sysctl.d/99-sysctl.conf"), "fs.inotify.max_user_watches = 1048577\n");
    await put(join(host.root, "usr/lib/sysctl.d/99-sysctl.conf"), "fs.inotify.max_user_instances = 9999\n");
  });

  test("are raised now and for the next boot, never lowered", async () => {
    expect(await tune(true)).toBe("changed");
    expect(await readFile(live("max_user_instances"), "utf8")).toBe("1024");
    expect(await readFile(live("max_user_watches"), "utf8")).toBe("2000000\n");
    const own = join(host.root, "etc/sysctl.d/999-k8s.conf");
    expect((await readFile(own, "utf8")).split("\n").filter((line) => line !== "" && !line.startsWith("#"))).toEqual([
      "fs.inotify.max_user_instances=1024",
    ]);
    expect(await modeOf(own)).toBe(0o600);
    expect(await tune(false)).toBe("unchanged");
  });

  test("are left alone when the tuning file is gone", async () => {
    await tune(true);
    await removeTuning(host.paths);
    await writeFile(live("max_user_instances"), "128");
    expect(await tune(false)).toBe("off");
    expect(await readFile(live("max_user_instances"), "utf8")).toBe("128");
    expect(await readdir(join(host.root, "etc/sysctl.d"))).toEqual(["99-sysctl.conf"]);
  });

  test("that the kernel does not have are no failure", async () => {
    await rm(join(host.root, "proc"), { recursive: true });
    expect(await tune(true)).toBe("changed");
  });
});
