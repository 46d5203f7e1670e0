import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { k8s } from "../../expect-node.ts";
import { expectOut, expectRefused, type Identity, identityOf } from "../../expect-out.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { meshOf, peersOf } from "../../mesh.ts";
import { createNode, createNodeNetwork, waitForDaemon } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { addAddress, dropAddress, otherAddress } from "../address/addresses.ts";
import { etcdConfig, joins, joinToken } from "../join/nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const names = ["n1", "n2", "w1"] as const;
type Name = (typeof names)[number];
const soon = { timeout: 15_000, interval: 250 };

describe.skipIf(reason !== undefined)("the mesh, two control planes and a worker, the agents alone", () => {
  let network: Network;
  const hosts = new Map<Name, Host>();
  let beforeJoin: HostSnapshot;
  let identity: Identity;
  const at = (name: Name): Host => {
    const found = hosts.get(name);
    if (found === undefined) throw new Error(`host ${name} was not made`);
    return found;
  };

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    await Promise.all(
      names.map(async (name) => {
        hosts.set(name, await createNode({ staged, network, flags: ["--agent-only"] }));
      }),
    );
    beforeJoin = await at("w1").snapshot();
    const { exitCode, stderr } = await k8s(at("n1"), ["bootstrap", "--name", "n1", "--file", "-"], {
      stdin: etcdConfig,
    });
    expect(exitCode, stderr).toBe(0);
    expect(await meshOf(at("n1"))).toMatchObject({ running: false, peers: [] });
    await joins(at("n2"), "n2", await joinToken(at("n1"), "n2"));
    await joins(at("w1"), "w1", await joinToken(at("n1"), "w1", "--worker"));
    identity = await identityOf(at("w1"), at("n1"));
  });
  afterAll(async () => {
    for (const host of hosts.values()) await host[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  const others = (self: Name, states: Partial<Record<Name, string>> = {}): Record<string, string> =>
    Object.fromEntries(names.filter((name) => name !== self).map((name) => [name, states[name] ?? "alive"]));

  async function allAlive(): Promise<void> {
    for (const name of names) await expect.poll(() => peersOf(at(name)), soon).toEqual(others(name));
  }

  async function livenessOn(name: Name): Promise<Record<string, string>> {
    const { stdout } = await k8s(at(name), ["status", "--output-format", "json"]);
    const { nodes } = JSON.parse(stdout) as { nodes: { name: string; liveness: string }[] };
    return Object.fromEntries(nodes.map((node) => [node.name, node.liveness]));
  }

  test("every node sees all others alive, at what distance, and holds the same ledger", async () => {
    await allAlive();
    await expectAgreement([...hosts.values()]);
    const heads = new Set<string>();
    for (const name of names) {
      const { replica, peers } = await meshOf(at(name));
      heads.add(JSON.stringify(replica));
      for (const peer of peers) expect(peer["round-trip-ms"]).toBeLessThan(1_000);
      expect(await livenessOn(name)).toEqual({ n1: "alive", n2: "alive", w1: "alive" });
    }
    expect([...heads]).toHaveLength(1);
    const { stdout } = await k8s(at("w1"), ["mesh"]);
    expect(stdout).toMatch(/^NAME\s+ROLE\s+ADDRESS\s+STATE\s+LAST CONTACT\s+ROUND TRIP\nn1\s+control-plane\s/);
    expect(stdout).toContain(`${at("n1").address}:6401`);
  });

  test("a power cut is found within seconds and shown with its reason on every node, without quorum too", async () => {
    await at("n2").cutPower();
    for (const name of ["n1", "w1"] as const) {
      await expect.poll(() => livenessOn(name), soon).toMatchObject({ n2: "dead" });
      const { peers } = await meshOf(at(name));
      expect(peers.find((peer) => peer.name === "n2")).toMatchObject({ state: "dead", problem: { reason: "tcp" } });
      const { stdout } = await k8s(at(name), ["mesh"]);
      expect(stdout).toMatch(/\ncannot be reached:\n {2}n2: no connection \(TCP\): /);
      expect((await k8s(at(name), ["status"])).stdout).toContain(`\n  n2 (${at("n2").address}:6400): last contact `);
    }
    await at("n2").boot();
    await waitForDaemon(at("n2"));
    await allAlive();
  });

  test("[F40] a worker comes back when all it knew but one have other addresses", async () => {
    await at("w1").cutPower();
    const moved = otherAddress(at("n2"));
    await addAddress(at("n2"), moved);
    const result = await k8s(at("n2"), ["set-address", moved]);
    expect(result.exitCode, result.stderr).toBe(0);
    await dropAddress(at("n2"), at("n2").address, moved);
    await at("w1").boot();
    await waitForDaemon(at("w1"));
    await allAlive();
    await expectAgreement([...hosts.values()]);
    const address = async () => (await meshOf(at("w1"))).peers.find(({ name }) => name === "n2")?.addresses[0];
    await expect.poll(address, soon).toBe(`${moved}:6401`);
  });

  test("a removed node is nobody's peer at once, and what it opens is refused", async () => {
    await at("w1").partition();
    const removed = await k8s(at("n1"), ["remove-node", "w1", "--force"]);
    expect(removed.exitCode, removed.stderr).toBe(0);
    for (const name of ["n1", "n2"] as const) {
      await expect.poll(async () => Object.keys(await peersOf(at(name))), soon).not.toContain("w1");
    }
    // It does not know yet, and knocks until it is told.
    const before = await at("w1").journal("k8sd");
    expect(before).not.toContain("The cluster has taken this node out");
    await at("w1").heal();
    await expect.poll(async () => (await k8s(at("w1"), ["mesh"])).exitCode, { timeout: 60_000, interval: 250 }).toBe(1);
    for (const name of ["n1", "n2"] as const) {
      const { stdout } = await at(name).run("ss", "-Htn", "state", "established", "sport", "=", ":6401");
      expect(stdout).not.toContain(at("w1").address);
      expect(Object.keys(await peersOf(at(name)))).toHaveLength(1);
    }
    await expectOut(at("w1"), { before: beforeJoin });
    await expectRefused(identity, at("w1"), [at("n1")]);
    await expectAgreement([at("n1"), at("n2")]);
  });
});
