import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, daemonState, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import { scanHost } from "../../hosts/scan.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { callDaemon, createNode, createNodeNetwork, waitForDaemon } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { etcdConfig, joins, joinToken, members } from "../join/nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const names = ["n1", "n2", "n3", "w1"] as const;
type Name = (typeof names)[number];

describe.skipIf(reason !== undefined)("removal, the agents alone", () => {
  let network: Network;
  const hosts = new Map<Name, { host: Host; before: HostSnapshot }>();
  const at = (name: Name): Host => {
    const found = hosts.get(name);
    if (found === undefined) throw new Error(`host ${name} was not made`);
    return found.host;
  };

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    await Promise.all(
      names.map(async (name) => {
        const host = await createNode({ staged, network, flags: ["--agent-only"] });
        hosts.set(name, { host, before: await host.snapshot() });
      }),
    );
    const { exitCode, stderr } = await k8s(at("n1"), ["bootstrap", "--name", "n1", "--file", "-"], {
      stdin: etcdConfig,
    });
    expect(exitCode, stderr).toBe(0);
    await rejoins("n2");
    await rejoins("n3");
    await rejoins("w1", "--worker");
  });
  afterAll(async () => {
    for (const { host } of hosts.values()) await host[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  async function rejoins(name: Name, ...flags: string[]): Promise<void> {
    await joins(at(name), name, await joinToken(at("n1"), name, ...flags));
  }

  async function removes(on: Name, who: string, ...flags: string[]): Promise<void> {
    const result = await k8s(at(on), ["remove-node", who, ...flags]);
    expect(result.exitCode, result.stderr).toBe(0);
    expect(result.stdout).toBe(`Removed ${who} from cluster.\n\n`);
  }

  /** It has learned that it is out, and nothing of ours is left on it. */
  async function isClean(name: Name): Promise<void> {
    await waitForDaemon(at(name));
    await expect
      .poll(async () => (await k8s(at(name), ["local-node-status"])).stderr, { timeout: 60_000, interval: 500 })
      .toContain("not part of a Kubernetes cluster");
    const left = await scanHost(at(name), hosts.get(name)?.before ?? (await at(name).snapshot()));
    expect(left.filter((line) => !daemonState.test(line))).toEqual([]);
  }

  const all = (): Host[] => names.map(at);
  const without = (...gone: Name[]): Host[] => names.filter((name) => !gone.includes(name)).map(at);

  test("[B16] of a worker: every ledger agrees, the worker learns it and is clean, and joins again under its name", async () => {
    await expectAgreement(all());
    await removes("n2", "w1");
    await expectAgreement(without("w1"));
    await isClean("w1");
    await rejoins("w1", "--worker");
    await expectAgreement(all());
  });

  test("[A1] [B21] [B23] of a control plane: it is out of etcd, clean, and joins again at once", async () => {
    await removes("n1", "n3");
    await expectAgreement(without("n3"));
    // Again is no error.
    await removes("n1", "n3");
    await isClean("n3");
    await rejoins("n3");
    await expectAgreement(all());
  });

  test("[B17] of itself, the founder and leader: the command gets its answer", async () => {
    await removes("n1", "n1");
    await isClean("n1");
    await expectAgreement(without("n1"));
    await joins(at("n1"), "n1", await joinToken(at("n2"), "n1"));
    await expectAgreement(all());
  });

  test("by 'k8s leave' on a worker and on a control plane", async () => {
    for (const name of ["w1", "n3"] as const) {
      const result = await k8s(at(name), ["leave"]);
      expect(result.exitCode, result.stderr).toBe(0);
      expect(result.stdout).toContain(`${name} has left the cluster.`);
      await isClean(name);
      await expectAgreement(without(name));
      await rejoins(name, ...(name === "w1" ? ["--worker"] : []));
    }
  });

  test("[B22] of a node that is dead, by its address; when it is back it learns that it is out", async () => {
    const { host } = hosts.get("n3") ?? { host: at("n3") };
    await host.cutPower();
    await removes("n1", host.address);
    await expectAgreement(without("n3"));
    await host.boot();
    await isClean("n3");
    await rejoins("n3");
    await expectAgreement(all());
  });

  test("[B19] of a node that is cut off and comes back", async () => {
    await at("w1").partition();
    await removes("n2", "w1");
    expect((await k8s(at("w1"), ["local-node-status"])).exitCode).toBe(0);
    await at("w1").heal();
    await isClean("w1");
    await rejoins("w1", "--worker");
    await expectAgreement(all());
  });

  test("[B20] two nodes join while one is removed, and all agree", async () => {
    await removes("n1", "w1");
    await removes("n1", "n3");
    await Promise.all([isClean("w1"), isClean("n3")]);
    const worker = await joinToken(at("n1"), "w1", "--worker");
    const third = await joinToken(at("n1"), "n3");
    await Promise.all([joins(at("w1"), "w1", worker), joins(at("n3"), "n3", third), removes("n1", "n2")]);
    await isClean("n2");
    await expectAgreement(without("n2"));
    await rejoins("n2");
    await expectAgreement(all());
  });

  test("an unknown name, the last that may go and a majority at stake are refused with the reason", async () => {
    const unknown = await k8s(at("n1"), ["remove-node", "n9"]);
    expect(unknown.exitCode).toBe(1);
    expect(unknown.stderr).toMatch(/cannot remove "n9": no node has this name, id or address.*n1, n2, n3, w1/s);
    await at("n3").cutPower();
    const stake = await k8s(at("n1"), ["remove-node", "n2"]);
    expect(stake.exitCode).toBe(1);
    expect(stake.stderr).toMatch(/then 1 of 2 voting members of etcd are healthy, and 2 are needed/);
    expect(await members(at("n1"))).toMatchObject({ n2: "active", n3: "active" });
    await at("n3").boot();
    await waitForDaemon(at("n3"));
    await expectAgreement(all());
  });

  test("a removed node's certificate is accepted nowhere", async () => {
    const pair = "/var/snap/k8s/common/var/lib/k8sd/state";
    // Where the scan does not look.
    const kept = "/var/tmp/fault-points";
    await at("w1").run("mkdir", "-p", kept);
    const curl = (to: Host) =>
      at("w1").tryRun([
        ...["curl", "-sk", "--cert", `${kept}/old.crt`, "--key", `${kept}/old.key`],
        ...["-o", "/dev/null", "-w", "%{http_code}", `https://${to.address}:6400/1.0/k8sd/members`],
      ]);
    await at("w1").run("cp", `${pair}/server.crt`, `${kept}/old.crt`);
    await at("w1").run("cp", `${pair}/server.key`, `${kept}/old.key`);
    expect((await curl(at("n1"))).stdout).toBe("200");
    await removes("n1", "w1");
    await isClean("w1");
    for (const name of ["n1", "n2", "n3"] as const) expect((await curl(at(name))).stdout).toBe("403");
  });

  test("[B18] 'k8s leave --force' cleans a node whose cluster is gone", async () => {
    for (const name of ["n2", "n3"] as const) await at(name).cutPower();
    const refused = await k8s(at("n1"), ["leave", "--timeout", "20s"]);
    expect(refused.exitCode).toBe(1);
    const left = await k8s(at("n1"), ["leave", "--force"]);
    expect(left.exitCode, left.stderr).toBe(0);
    await isClean("n1");
    await bootstrap(at("n1"));
    await becomesReady(at("n1"));
    const { metadata } = await callDaemon(at("n1"), "GET", "/1.0/k8sd/members");
    expect(metadata).toMatchObject({ members: [{ state: "active" }] });
  });
});
