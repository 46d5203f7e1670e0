import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, daemonState } from "../../expect-node.ts";
import { createFaultPoints, faultEnvironment } from "../../faults/points.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import { createNetwork, type Network } from "../../hosts/network.ts";
import { scanHost } from "../../hosts/scan.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { createNode, waitForDaemon } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { etcdConfig, etcdMembers, join, joins, joinToken, members } from "./nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("control planes on etcd", () => {
  let network: Network;
  let [n1, n2, n3, n4]: Host[] = [];
  let before: HostSnapshot;
  const host = (known: Host | undefined): Host => {
    if (known === undefined) throw new Error("the host was not made");
    return known;
  };

  beforeAll(async () => {
    network = await createNetwork();
    const staged = await stagedForTests();
    const create = () => createNode({ staged, network, flags: ["--agent-only"], env: faultEnvironment });
    [n1, n2, n3, n4] = await Promise.all([create(), create(), create(), create()]);
    before = await host(n4).snapshot();
    await bootstrap(host(n1), etcdConfig);
  });
  afterAll(async () => {
    for (const node of [n1, n2, n3, n4]) await node?.[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  test("join at the same time, one waiting for the other where etcd asks for it, and all of them vote", async () => {
    const founder = host(n1).name;
    const tokens = [await joinToken(host(n1), "n2"), await joinToken(host(n1), "n3")] as const;
    await Promise.all([joins(host(n2), "n2", tokens[0]), joins(host(n3), "n3", tokens[1])]);
    for (const node of [n1, n2, n3]) {
      await becomesReady(host(node));
      expect(await members(host(node))).toEqual({ [founder]: "active", n2: "active", n3: "active" });
      expect(await etcdMembers(host(node))).toEqual({ [founder]: "voter", n2: "voter", n3: "voter" });
    }
    await expectAgreement([host(n1), host(n2), host(n3)]);
  });

  test("refuse a token that is expired, of another name or cut off; nothing is left on the host [G43] [G45]", async () => {
    const used = await joinToken(host(n1), "n4", "--expires-in", "1s");
    const attempts: [string, string, RegExp][] = [
      ["n5", await joinToken(host(n1), "n6"), /the token is for a node with the name "n6"/],
      ["n4", used.slice(0, -8), /cannot read the join token/],
      ["n4", used, /the token expired at/],
    ];
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    for (const [name, token, reason] of attempts) {
      const result = await join(host(n4), name, token);
      expect(result.exitCode).toBe(1);
      expect(result.stderr).toMatch(reason);
    }
    expect((await scanHost(host(n4), before)).filter((line) => !daemonState.test(line))).toEqual([]);
  });

  test("a join that is killed after it joined etcd is taken back on both sides", async () => {
    const points = createFaultPoints(host(n4));
    const token = await joinToken(host(n1), "n4");
    // Place, host, directories, tuning, certificates, services, then the datastore.
    await points.hold(6, "after-run");
    const running = join(host(n4), "n4", token).catch(() => undefined);
    await points.reached(6, "after-run");
    expect(await etcdMembers(host(n1))).toHaveProperty("n4", "voter");
    const { stdout } = await host(n4).run("systemctl", "show", "--property=MainPID", "--value", "k8sd");
    await host(n4).run("kill", "-9", stdout.trim());
    await points.clear();
    await waitForDaemon(host(n4));
    await running;
    expect(await etcdMembers(host(n1))).not.toHaveProperty("n4");
    expect(await members(host(n1))).not.toHaveProperty("n4");
    await expectAgreement([host(n1), host(n2), host(n3)]);
    expect((await scanHost(host(n4), before)).filter((line) => !daemonState.test(line))).toEqual([]);
  });

  test("a join goes on with the token of the killed one, also with one of three members dead", async () => {
    // Made by one that joined itself; it gives the token that is still good again.
    const token = await joinToken(host(n2), "n4");
    await host(n3).cutPower();
    await joins(host(n4), "n4", token);
    expect(await etcdMembers(host(n1))).toMatchObject({ n2: "voter", n3: "voter", n4: "voter" });
    await becomesReady(host(n4));
    await expectAgreement([host(n1), host(n2), host(n4)], { unasked: { n3: "control-plane" } });
  });
});
