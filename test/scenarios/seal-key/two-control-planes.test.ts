import { createHash } from "node:crypto";
import type { SealKeyState } from "@k8sd/api-types";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { becomesReady, bootstrap, k8s } from "../../expect-node.ts";
import { kill } from "../../faults/victim.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode, createNodeNetwork, waitForDaemon } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { etcdConfig, joins, joinToken } from "../join/nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const state = "/var/snap/k8s/common/var/lib/k8sd/state";

/** Of the file of keys: how many it holds, and which, without telling them. */
async function keysOf(host: Host): Promise<{ readonly count: number; readonly hash: string }> {
  const { stdout } = await host.run("base64", "-w0", `${state}/seal.key`);
  const bytes = Buffer.from(stdout, "base64");
  return { count: bytes.length / 32, hash: createHash("sha256").update(bytes).digest("hex") };
}

async function sealKey(host: Host): Promise<SealKeyState | undefined> {
  const { stdout } = await k8s(host, ["datastore", "status", "--output-format", "json"]);
  return stdout === "" ? undefined : (JSON.parse(stdout) as { "seal-key"?: SealKeyState })["seal-key"];
}

/** Opens what is sealed in the datastore and what is sealed on the node. */
async function savesSnapshot(host: Host): Promise<void> {
  const { exitCode, stderr } = await k8s(host, ["snapshot", "save", "--directory", "/root/saved"]);
  expect(exitCode, stderr).toBe(0);
}

describe.skipIf(reason !== undefined)("a new key of the seal, with two control planes", () => {
  let network: Network;
  let n1: Host;
  let n2: Host;

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    const create = (name: string) => createNode({ name, staged, network, flags: ["--agent-only"] });
    [n1, n2] = await Promise.all([create("n1"), create("n2")]);
    await bootstrap(n1, etcdConfig);
    await joins(n2, "n2", await joinToken(n1, "n2"));
    for (const host of [n1, n2]) await becomesReady(host);
    expect((await k8s(n1, ["snapshot", "key", "--out", "/root/snapshots.key"])).exitCode).toBe(0);
  });
  afterAll(async () => {
    await n1?.[Symbol.asyncDispose]();
    await n2?.[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  test("reaches the one whose k8sd was off and outlives a kill of the other; nothing is unreadable meanwhile", async () => {
    await expect.poll(async () => (await sealKey(n1))?.["waiting-for"], { timeout: 60_000 }).toEqual([]);
    const { id: old = "" } = (await sealKey(n1)) ?? {};
    const before = await keysOf(n1);
    expect(await keysOf(n2)).toEqual(before);
    await n2.run("systemctl", "stop", "k8sd");
    const { exitCode, stdout, stderr } = await k8s(n1, ["datastore", "rotate-key", "--timeout", "15s"]);
    expect([exitCode, stderr]).toEqual([0, expect.anything()]);
    expect(stdout).toMatch(new RegExp(`^The new key [0-9a-f]{16} takes the place of ${old} by itself, when n2 did`));
    await savesSnapshot(n1);
    await kill(n1, "k8sd");
    await waitForDaemon(n1);
    await expect.poll(() => sealKey(n1), { timeout: 60_000 }).toMatchObject({ id: old, "waiting-for": ["n2"] });
    await n2.run("systemctl", "start", "k8sd");
    await waitForDaemon(n2);
    await expect
      .poll(() => sealKey(n2), { timeout: 120_000, interval: 1_000 })
      .toEqual({ id: expect.not.stringMatching(old), "waiting-for": [] });
    await expect.poll(() => keysOf(n1), { timeout: 60_000 }).toMatchObject({ count: 1 });
    await expect.poll(() => keysOf(n2), { timeout: 60_000 }).toEqual(await keysOf(n1));
    expect((await keysOf(n1)).hash).not.toBe(before.hash);
    for (const host of [n1, n2]) {
      await becomesReady(host);
      await savesSnapshot(host);
    }
  });

  test("is made while both run, and the command says which it is", async () => {
    const old = (await sealKey(n2))?.id ?? "";
    const { exitCode, stdout, stderr } = await k8s(n2, ["datastore", "rotate-key", "--timeout", "120s"]);
    expect([exitCode, stderr]).toEqual([0, expect.anything()]);
    expect(stdout).toMatch(/^The key [0-9a-f]{16} seals the cluster's secrets\.\n$/);
    expect(stdout).not.toContain(old);
    await expect.poll(() => keysOf(n1), { timeout: 60_000 }).toEqual(await keysOf(n2));
    for (const host of [n1, n2]) await savesSnapshot(host);
  });
});
