import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { bootstrap, daemonState, k8s } from "../../expect-node.ts";
import { expectOut, expectRefused, identityOf } from "../../expect-out.ts";
import { isUnspent, stepOf } from "../../faults/join-setup.ts";
import { createFaultPoints, faultEnvironment } from "../../faults/points.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import { scanHost } from "../../hosts/scan.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { createNode, createNodeNetwork, waitForDaemon } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { etcdConfig, etcdMembers, join, joins, joinToken, members } from "../join/nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("removal of a node that is not in yet, and against the majority", () => {
  let network: Network;
  let hosts: readonly Host[] = [];
  let before: HostSnapshot;
  let beforeOfSecond: HostSnapshot;
  const at = (index: 0 | 1 | 2): Host => {
    const host = hosts[index];
    if (host === undefined) throw new Error("the host was not made");
    return host;
  };

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    const create = () => createNode({ staged, network, flags: ["--agent-only"], env: faultEnvironment });
    hosts = await Promise.all([create(), create(), create()]);
    before = await at(2).snapshot();
    beforeOfSecond = await at(1).snapshot();
    await bootstrap(at(0), etcdConfig);
    await joins(at(1), "n2", await joinToken(at(0), "n2"));
  });
  afterAll(async () => {
    await Promise.all(hosts.map((host) => host[Symbol.asyncDispose]()));
    await network?.[Symbol.asyncDispose]();
  });

  async function removes(who: string): Promise<void> {
    const result = await k8s(at(0), ["remove-node", who]);
    expect(result.exitCode, result.stderr).toBe(0);
  }

  async function isClean(): Promise<void> {
    await createFaultPoints(at(2)).clear();
    await expect
      .poll(async () => (await k8s(at(2), ["local-node-status"])).stderr, { timeout: 60_000, interval: 500 })
      .toContain("not part of a Kubernetes cluster");
    const left = async () => (await scanHost(at(2), before)).filter((line) => !daemonState.test(line));
    await expect.poll(left, { timeout: 30_000, interval: 1_000 }).toEqual([]);
  }

  test("one of two that leaves by force does not take the other one's majority with it", async () => {
    const left = await k8s(at(1), ["leave", "--force"]);
    expect(left.exitCode, left.stderr).toBe(0);
    await expectAgreement([at(0)]);
    await joins(at(1), "n2", await joinToken(at(0), "n2"));
    await expectAgreement([at(0), at(1)]);
  });

  test("one that only has its place gives it back, and its join says that the place is gone", async () => {
    const points = createFaultPoints(at(2));
    const token = await joinToken(at(0), "n3");
    const step = stepOf("control plane", false, "Take the reserved place");
    await points.hold(step, "before-run");
    const joining = join(at(2), "n3", token);
    await points.reached(step, "before-run");
    expect(await members(at(0))).toMatchObject({ n3: "reserved" });
    await removes("n3");
    await expectAgreement([at(0), at(1)]);
    await isUnspent(at(0), "n3");
    await points.release(step, "before-run");
    const joined = await joining;
    expect(joined.exitCode).toBe(1);
    expect(joined.stderr).toMatch(/what was held for it is not any more|no place is held/);
    await isClean();
  });

  test("one that is in the middle of its join is taken out of etcd too, its join is taken back, and its token is good", async () => {
    const points = createFaultPoints(at(2));
    const token = await joinToken(at(0), "n3");
    const step = stepOf("control plane", false, "Wait for etcd");
    await points.hold(step, "before-run");
    const joining = join(at(2), "n3", token);
    await points.reached(step, "before-run");
    expect(await etcdMembers(at(0))).toMatchObject({ n3: "voter" });
    await removes("n3");
    await expectAgreement([at(0), at(1)]);
    await isUnspent(at(0), "n3");
    await points.release(step, "before-run");
    const joined = await joining;
    expect(joined.exitCode).toBe(1);
    await isClean();
  });

  test("one whose machine died in the middle of its join goes as well; when it is back it cleans up, and the token lets it in", async () => {
    const points = createFaultPoints(at(2));
    const token = await joinToken(at(0), "n3");
    const step = stepOf("control plane", false, "Wait for etcd");
    await points.hold(step, "before-run");
    const joining = join(at(2), "n3", token).catch(() => undefined);
    await points.reached(step, "before-run");
    await at(2).cutPower();
    await joining;
    await removes("n3");
    await expectAgreement([at(0), at(1)]);
    await points.clear();
    await at(2).boot();
    await waitForDaemon(at(2));
    await isClean();
    await joins(at(2), "n3", token);
    await expectAgreement(hosts);
  });

  test("[C24] with --force it costs the majority only after a plain warning, and is recorded; 'k8s recover' goes on without it", async () => {
    const identities = [await identityOf(at(1), at(0)), await identityOf(at(2), at(0))] as const;
    await at(2).cutPower();
    const refused = await k8s(at(0), ["remove-node", "n2"]);
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toMatch(
      /1 of 2 voting members of etcd are healthy, and 2 are needed.*stands still until 'k8s recover'/s,
    );
    const forced = await k8s(at(0), ["remove-node", "n2", "--force"]);
    expect(forced.exitCode, forced.stderr).toBe(0);
    expect(forced.stderr).toMatch(/etcd loses its majority with it: the cluster stands still until 'k8s recover'/);
    // It was alive all the while: it learns that it is out, and takes its vote with it.
    await expectOut(at(1), { before: beforeOfSecond });
    const standing = await k8s(at(0), ["remove-node", "n3", "--force"]);
    expect(standing.exitCode).toBe(1);
    expect(standing.stderr).toMatch(/the datastore does not answer.*'k8s recover'.*--force is of no use before/s);
    const recovered = await k8s(at(0), ["recover", "--yes"]);
    expect(recovered.exitCode, recovered.stderr).toBe(0);
    expect(Object.keys(await members(at(0))).toSorted()).toEqual([at(0).name, "n3"].toSorted());
    await removes("n3");
    await expectAgreement([at(0)]);
    await at(2).boot();
    await expectOut(at(2), { before });
    await expectRefused(identities[0], at(1), [at(0)]);
    await expectRefused(identities[1], at(2), [at(0)]);
  });

  test("[C24] whose quorum is lost half-way does not keep 'k8s recover' from its work, and is finished after that", async () => {
    await joins(at(1), "n2", await joinToken(at(0), "n2"));
    await joins(at(2), "n3", await joinToken(at(0), "n3"));
    const points = createFaultPoints(at(0));
    // Before it is taken out of etcd.
    await points.hold(1, "before-run");
    const removing = k8s(at(0), ["remove-node", "n3", "--timeout", "10s"]);
    await points.reached(1, "before-run");
    await Promise.all([at(1).cutPower(), at(2).cutPower()]);
    await points.release(1, "before-run");
    expect((await removing).exitCode).toBe(1);
    const recovered = await k8s(at(0), ["recover", "--yes"]);
    expect(recovered.exitCode, recovered.stderr).toBe(0);
    await expect.poll(async () => Object.keys(await members(at(0))), { timeout: 60_000 }).not.toContain("n3");
    await removes("n2");
    await expectAgreement([at(0)]);
  });
});
