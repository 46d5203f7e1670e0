import { access, lstat, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { inspectMachine } from "../../../src/components/machine.ts";
import { cniPluginNames, installCniPlugins } from "../../../src/components/network/cni-plugins.ts";
import { temporaryNode } from "./support.ts";

const signal = AbortSignal.timeout(30_000);

describe("network plugins", () => {
  test("from one program: a copy that only root can run, and a link for each name", async () => {
    await using node = await temporaryNode();
    const from = join(node.base, "snap/bin/cni");
    const to = join(node.base, "opt/cni/bin");
    await mkdir(dirname(from), { recursive: true });
    await writeFile(from, "program");
    await mkdir(to, { recursive: true });
    await writeFile(join(to, "cilium-cni"), "another network's");
    await writeFile(join(to, "bridge"), "left by something else");

    expect(await installCniPlugins({ from, to }, signal)).toBe("changed");
    expect((await readdir(to)).sort()).toEqual([...cniPluginNames, "cilium-cni", "cni"].sort());
    expect((await stat(join(to, "cni"))).mode & 0o777).toBe(0o700);
    for (const name of cniPluginNames) expect(await readlink(join(to, name))).toBe("cni");
    expect(await readFile(join(to, "cilium-cni"), "utf8")).toBe("another network's");
    expect(await installCniPlugins({ from, to }, signal)).toBe("unchanged");

    await writeFile(from, "a newer one");
    expect(await installCniPlugins({ from, to }, signal)).toBe("changed");
    expect(await readFile(join(to, "portmap"), "utf8")).toBe("a newer one");
  });

  test("from a folder: each program that is there", async () => {
    await using node = await temporaryNode();
    const from = join(node.base, "cni");
    const to = join(node.base, "bin");
    await mkdir(from);
    for (const name of ["bridge", "portmap", "README"]) await writeFile(join(from, name), name);
    await mkdir(to);
    await symlink("cni", join(to, "bridge"));
    expect(await installCniPlugins({ from, to }, signal)).toBe("changed");
    expect((await readdir(to)).sort()).toEqual(["bridge", "portmap"]);
    expect((await lstat(join(to, "bridge"))).isFile()).toBe(true);
    expect(await installCniPlugins({ from, to }, signal)).toBe("unchanged");
  });

  test("those of somebody else stay as they are", async () => {
    await using node = await temporaryNode();
    const from = join(node.base, "cni");
    const to = join(node.base, "bin");
    for (const [folder, content] of [
      [from, "ours"],
      [to, "theirs"],
    ] as const) {
      await mkdir(folder);
      await writeFile(join(folder, "bridge"), content);
    }
    await writeFile(join(from, "portmap"), "ours");
    await installCniPlugins({ from, to, foreign: new Set(["bridge"]) }, signal);
    expect(await readFile(join(to, "bridge"), "utf8")).toBe("theirs");
    expect(await readFile(join(to, "portmap"), "utf8")).toBe("ours");
  });

  test("missing ones are an error with a remedy", async () => {
    await using node = await temporaryNode();
    const options = { from: join(node.base, "none"), to: join(node.base, "bin") };
    await expect(installCniPlugins(options, signal)).rejects.toMatchObject({
      retryable: false,
      remedy: expect.any(String),
    });
    await expect(access(options.to)).rejects.toThrow();
  });
});

describe("the machine", () => {
  async function machine(files: Readonly<Record<string, string>>, folders: readonly string[] = []) {
    await using node = await temporaryNode();
    for (const folder of folders) await mkdir(join(node.base, folder), { recursive: true });
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(node.base, path)), { recursive: true });
      await writeFile(join(node.base, path), content);
    }
    const found = await inspectMachine(node.base);
    return { ...found, resolvConf: found.resolvConf?.slice(node.base.length) };
  }

  test("with nothing special has nothing special", async () => {
    expect(await machine({})).toEqual({
      systemd: false,
      appArmor: false,
      oomScoreAdjustable: false,
      conntrackWritable: false,
      resolvConf: undefined,
    });
  });

  test("with all of it has all of it", async () => {
    const files = {
      "sys/module/apparmor/parameters/enabled": "Y\n",
      "sys/module/nf_conntrack/parameters/hashsize": "1\n",
      "proc/self/status": "Name:\tx\nCapEff:\t000001ffffffffff\n",
      "proc/sys/net/netfilter/nf_conntrack_max": "1\n",
      "etc/resolv.conf": "nameserver 10.0.0.53\n",
    };
    expect(await machine(files, ["run/systemd/system"])).toEqual({
      systemd: true,
      appArmor: true,
      oomScoreAdjustable: true,
      conntrackWritable: true,
      resolvConf: "/etc/resolv.conf",
    });
  });

  test("without CAP_SYS_RESOURCE cannot lower oom scores", async () => {
    const { oomScoreAdjustable } = await machine({ "proc/self/status": "CapEff:\t000001fffeffffff\n" });
    expect(oomScoreAdjustable).toBe(false);
  });

  const stub = "nameserver 127.0.0.53\n";
  test.each([
    [
      "the resolver's own list first",
      { "run/systemd/resolve/resolv.conf": "nameserver 9.9.9.9\n", "etc/resolv.conf": stub },
      "/run/systemd/resolve/resolv.conf",
    ],
    ["a stub on loopback is none", { "etc/resolv.conf": stub }, undefined],
    ["one loopback server spoils a file", { "etc/resolv.conf": `nameserver 9.9.9.9\n${stub}` }, undefined],
    ["comments do not count", { "etc/resolv.conf": `# ${stub}nameserver 2001:db8::1\n` }, "/etc/resolv.conf"],
  ])("pods get name servers they can reach: %s", async (_case, files, expected) => {
    expect((await machine(files)).resolvConf).toBe(expected);
  });
});
