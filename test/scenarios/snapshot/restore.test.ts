import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { callDaemon, createNode, createNodeNetwork, waitForDaemon } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { etcdMembers, joins, joinToken, members } from "../join/nodes.ts";
import { epochOf } from "../recover/three.ts";
import { prefix, put, read, revisionOf } from "./keys.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const keyFile = "/root/snapshots.key";

async function save(host: Host): Promise<string> {
  const saved = await k8s(host, ["snapshot", "save", "--output-format", "json"]);
  expect(saved.exitCode, saved.stderr).toBe(0);
  return (JSON.parse(saved.stdout) as { path: string }).path;
}

async function restore(host: Host, path: string, ...argv: readonly string[]): Promise<string> {
  const result = await k8s(host, ["snapshot", "restore", path, "--key-file", keyFile, "--yes", ...argv]);
  if (result.exitCode !== 0) throw new Error(`${result.stderr}\n${(await host.journal("k8sd")).slice(-3_000)}`);
  return result.stderr;
}

/** What a client sees that had read at this revision and looks for what came after. */
async function expectCompacted(host: Host, revision: number): Promise<void> {
  const { exitCode, stdout, stderr } = await host.tryRun([
    "timeout",
    "20",
    "/snap/k8s/current/bin/etcdctl",
    ...["--endpoints", "https://127.0.0.1:2379", "--cacert", "/etc/kubernetes/pki/etcd/ca.crt"],
    ...["--cert", "/etc/kubernetes/pki/apiserver-etcd-client.crt"],
    ...["--key", "/etc/kubernetes/pki/apiserver-etcd-client.key"],
    ...["watch", prefix, "--prefix", "--rev", String(revision + 1)],
  ]);
  expect([exitCode === 124, `${stdout}${stderr}`]).toEqual([false, expect.stringContaining("compacted")]);
}

async function bring(from: Host, to: Host, path: string): Promise<string> {
  await copyFile(join(from.root, path), join(to.root, "root/snapshot"));
  await copyFile(join(from.root, keyFile), join(to.root, keyFile));
  return "/root/snapshot";
}

describe.skipIf(reason !== undefined)("a cluster that is restored from a snapshot", () => {
  let network: Network;
  let n1: Host;
  let n2: Host;
  let n3: Host;

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    const create = (name: string): Promise<Host> => createNode({ name, staged, network, flags: ["--agent-only"] });
    [n1, n2, n3] = await Promise.all([create("n1"), create("n2"), create("n3")]);
    await bootstrap(n1);
    await put(n1, "kept", "value");
    expect((await k8s(n1, ["snapshot", "key", "--out", keyFile])).exitCode).toBe(0);
  });
  afterAll(async () => {
    await Promise.all([n1, n2, n3].map((host) => host?.[Symbol.asyncDispose]()));
    await network?.[Symbol.asyncDispose]();
  });

  test("on its own node, with sqlite: it is as it was, in a new epoch, and older watches end", async () => {
    const path = await save(n1);
    await put(n1, "later", "given up");
    const before = await revisionOf(n1);
    const wrong = await k8s(n1, ["snapshot", "restore", path, "--key-file", "-"], { stdin: "something else" });
    expect([wrong.exitCode, wrong.stderr]).toEqual([1, expect.stringContaining("is no key of snapshots")]);
    const asked = await k8s(n1, ["snapshot", "restore", path, "--key-file", keyFile]);
    expect([asked.exitCode, asked.stderr]).toEqual([1, expect.stringContaining("Add --yes to do what is shown above")]);
    expect(await read(n1, "later")).toBe("given up");

    expect(await restore(n1, path)).toContain("n1 becomes the only control plane of the cluster; epoch 2 begins.");

    await becomesReady(n1);
    expect([await read(n1, "kept"), await read(n1, "later")]).toEqual(["value", ""]);
    expect(await epochOf(n1)).toBe(2);
    expect(await revisionOf(n1)).toBeGreaterThan(before + 1_000_000_000);
    await expectCompacted(n1, before);
    const { stdout } = await n1.run("ls", "/var/snap/k8s/common/var/lib");
    expect(stdout).toContain("k8s-datastore.before-epoch-2");
  });

  test("from before a change of the seal's key, on its own node: the new key seals again what the old one sealed", async () => {
    const path = await save(n1);
    const changed = await k8s(n1, ["datastore", "rotate-key", "--timeout", "120s"]);
    expect([changed.exitCode, changed.stderr]).toEqual([0, expect.anything()]);
    const [, id = ""] = /^The key ([0-9a-f]{16}) seals/.exec(changed.stdout) ?? [];
    await restore(n1, path);
    await becomesReady(n1);
    expect(await read(n1, "kept")).toBe("value");
    const sealKey = async () => {
      const { stdout } = await k8s(n1, ["datastore", "status", "--output-format", "json"]);
      return stdout === "" ? undefined : (JSON.parse(stdout) as { "seal-key"?: unknown })["seal-key"];
    };
    await expect.poll(sealKey, { timeout: 120_000, interval: 1_000 }).toEqual({ id, "waiting-for": [] });
    // Opens what is sealed in the datastore, and what is sealed on the node: once its own file has forgotten the old key too.
    const saves = async () => (await k8s(n1, ["snapshot", "save"])).stderr;
    await expect.poll(saves, { timeout: 60_000, interval: 2_000 }).not.toContain("Error");
  });

  test("on a machine without a cluster, from sqlite to etcd", async () => {
    const path = await bring(n1, n2, await save(n1));
    const before = await revisionOf(n1);
    await n1.cutPower();
    expect(await restore(n2, path, "--engine", "etcd")).toContain("n1: taken out of the cluster");
    await becomesReady(n2);
    expect(await read(n2, "kept")).toBe("value");
    expect(await epochOf(n2)).toBe(4);
    expect(await revisionOf(n2)).toBeGreaterThan(before + 1_000_000_000);
    await expectCompacted(n2, before);
    await expect.poll(() => members(n2), { timeout: 30_000 }).toEqual({ n2: "active" });
    const { stdout } = await k8s(n2, ["datastore", "status", "--output-format", "json"]);
    expect((JSON.parse(stdout) as { engine: string }).engine).toBe("etcd");
  });

  test("on a machine without a cluster, from etcd to sqlite; the key stays the same, and a leave leaves nothing", async () => {
    await put(n2, "on-etcd", "too");
    const path = await bring(n2, n3, await save(n2));
    await n2.cutPower();
    await restore(n3, path, "--engine", "sqlite");
    await becomesReady(n3);
    expect([await read(n3, "kept"), await read(n3, "on-etcd")]).toEqual(["value", "too"]);
    expect(await epochOf(n3)).toBe(5);
    const left = await k8s(n3, ["leave", "--force"]);
    expect(left.exitCode, left.stderr).toBe(0);
    await restore(n3, path, "--engine", "etcd");
    await becomesReady(n3);
  });

  test("on its own node, with etcd", async () => {
    const path = await save(n3);
    await put(n3, "later", "given up");
    const before = await revisionOf(n3);
    await restore(n3, path);
    await becomesReady(n3);
    expect([await read(n3, "on-etcd"), await read(n3, "later")]).toEqual(["too", ""]);
    await expectCompacted(n3, before);
  });

  test("with another control plane that answers only by force; that one learns that it is out, and joins again", async () => {
    await n1.boot();
    await waitForDaemon(n1);
    expect(await k8s(n1, ["leave", "--force"])).toMatchObject({ exitCode: 0 });
    await joins(n1, "n1", await joinToken(n3, "n1"));
    const path = await save(n3);
    const refused = await k8s(n3, ["snapshot", "restore", path, "--key-file", keyFile, "--yes"]);
    expect([refused.exitCode, refused.stderr]).toEqual([
      1,
      expect.stringContaining("n1 answer, and hold the cluster's"),
    ]);
    await restore(n3, path, "--force");
    await becomesReady(n3);
    expect(await members(n3)).toEqual({ n3: "active" });
    expect(await etcdMembers(n3)).toEqual({ n3: "voter" });
    const standing = async (): Promise<string> => (await callDaemon(n1, "GET", "/1.0/k8sd/node")).error;
    await expect.poll(standing, { timeout: 90_000, interval: 1_000 }).toContain("not yet initialized");
    await joins(n1, "n1", await joinToken(n3, "n1"));
    await expectAgreement([n1, n3], { timeoutMs: 60_000 });
    expect(await read(n1, "on-etcd")).toBe("too");
  });
});
