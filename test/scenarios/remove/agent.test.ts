import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, k8s } from "../../expect-node.ts";
import { expectOut, expectRefused, type Identity, identityOf } from "../../expect-out.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
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
  const hosts = new Map<Name, { host: Host; before: HostSnapshot; identity?: Identity }>();
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
    await isIn("n1");
  });
  afterAll(async () => {
    for (const { host } of hosts.values()) await host[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  async function rejoins(name: Name, ...flags: string[]): Promise<void> {
    await joins(at(name), name, await joinToken(at("n1"), name, ...flags));
    await isIn(name);
  }

  /** From now on it is known by something. */
  async function isIn(name: Name): Promise<void> {
    const found = hosts.get(name);
    const identity = await identityOf(at(name), at(name === "n1" ? "n2" : "n1"));
    if (found !== undefined) hosts.set(name, { ...found, identity });
  }

  async function removes(on: Name, who: string, ...flags: string[]): Promise<void> {
    const result = await k8s(at(on), ["remove-node", who, ...flags]);
    expect(result.exitCode, result.stderr).toBe(0);
    expect(result.stdout).toBe(`Removed ${who} from cluster.\n\n`);
  }

  /** It has learned that it is out, nothing of ours is left on it, and what it was known by opens nothing. */
  async function isClean(name: Name, controlPlanes: readonly Name[] = ["n1", "n2", "n3"]): Promise<void> {
    const { host, before, identity } = hosts.get(name) ?? {};
    if (host === undefined || before === undefined) throw new Error(`host ${name} was not made`);
    await expectOut(host, { before });
    if (identity === undefined) throw new Error(`${name} was not known as a member`);
    const left = controlPlanes.filter((each) => each !== name).map(at);
    await expectRefused(identity, host, left);
  }

  /** What its daemon warned of; to have nothing to do is no reason. */
  async function warnings(name: Name): Promise<readonly string[]> {
    const lines = (await at(name).journal("k8sd")).split("\n");
    return lines.flatMap((line) => /"level":[456]0.*"msg":"(.*?)"/.exec(line)?.[1] ?? []);
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
    const before = await warnings("n3");
    await removes("n1", "n3");
    await expectAgreement(without("n3"));
    // Again is no error.
    await removes("n1", "n3");
    await isClean("n3");
    expect((await warnings("n3")).slice(before.length)).toEqual([
      "The cluster has taken this node out; removing what belongs to it",
    ]);
    await rejoins("n3");
    await expectAgreement(all());
  });

  test("[B17] of itself, the founder and leader: the command gets its answer", async () => {
    await removes("n1", "n1");
    await isClean("n1");
    await expectAgreement(without("n1"));
    await joins(at("n1"), "n1", await joinToken(at("n2"), "n1"));
    await isIn("n1");
    await expectAgreement(all());
  });

  test("by 'k8s leave' on a worker, and by the hook of a package that goes on a control plane [B18]", async () => {
    const hook = await readFile(join(import.meta.dirname, "../../../snap/hooks/remove"), "utf8");
    await at("n3").writeFile("/run/remove", hook, 0o755);
    const snap = ["SNAP=/snap/k8s/current", "SNAP_COMMON=/var/snap/k8s/common"];
    for (const name of ["w1", "n3"] as const) {
      const argv = name === "w1" ? ["k8s", "leave"] : ["env", ...snap, "/run/remove"];
      const result = await at(name).tryRun(argv, { timeoutMs: 300_000 });
      expect(result.exitCode, result.stderr).toBe(0);
      expect(result.stdout).toContain(`${name} has left the cluster.`);
      expect(result.stderr).not.toContain("could");
      await at(name).run("rm", "-f", "/run/remove");
      await isClean(name);
      await expectAgreement(without(name));
      await rejoins(name, ...(name === "w1" ? ["--worker"] : []));
    }
  });

  test("[B18] [B22] of a node that is dead, by its address; when it is back it learns that it is out", async () => {
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
    await Promise.all([isClean("w1", ["n1", "n2"]), isClean("n3", ["n1", "n2"])]);
    const worker = await joinToken(at("n1"), "w1", "--worker");
    const third = await joinToken(at("n1"), "n3");
    await Promise.all([joins(at("w1"), "w1", worker), joins(at("n3"), "n3", third), removes("n1", "n2")]);
    for (const name of ["w1", "n3"] as const) await isIn(name);
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

  test("a removed node's certificate is accepted nowhere, at once", async () => {
    const identity = await identityOf(at("w1"), at("n1"));
    await removes("n1", "w1");
    await expectRefused(identity, at("w1"), [at("n1")]);
    await isClean("w1");
    await expectAgreement(without("w1"));
  });

  test("[B18] 'k8s leave --force' cleans a node whose cluster is gone", async () => {
    for (const name of ["n2", "n3"] as const) await at(name).cutPower();
    const refused = await k8s(at("n1"), ["leave", "--timeout", "20s"]);
    expect(refused.exitCode).toBe(1);
    const left = await k8s(at("n1"), ["leave", "--force"]);
    expect(left.exitCode, left.stderr).toBe(0);
    await isClean("n1", []);
    await bootstrap(at("n1"));
    await becomesReady(at("n1"));
    const { metadata } = await callDaemon(at("n1"), "GET", "/1.0/k8sd/members");
    expect(metadata).toMatchObject({ members: [{ state: "active" }] });
  });
});
