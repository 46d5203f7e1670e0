import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../expect-agreement.ts";
import { bootstrap } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import type { Network } from "../hosts/network.ts";
import type { Host } from "../hosts/types.ts";
import { createNode, createNodeNetwork, waitForDaemon } from "../node.ts";
import { etcdMembers, join, joins, joinToken, members } from "../scenarios/join/nodes.ts";
import { type Staged, stagedForTests } from "../stage.ts";
import { isUnspent, stepOf } from "./join-setup.ts";
import { createFaultPoints, faultEnvironment } from "./points.ts";
import { kill } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** Longer than a place is held for a node of which nothing is heard. */
const holdSeconds = 660;

describe.skipIf(reason !== undefined)("a join whose node is never heard of again", () => {
  let staged: Staged;
  let network: Network;
  let controlPlanes: readonly Host[] = [];
  let node: Host;
  const at = (index: number): Host => {
    const host = controlPlanes[index];
    if (host === undefined) throw new Error("the host was not made");
    return host;
  };

  beforeAll(async () => {
    staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    const create = () => createNode({ staged, network, flags: ["--agent-only"], env: faultEnvironment });
    const [first, second, third, fourth] = await Promise.all([create(), create(), create(), create()]);
    if (!first || !second || !third || !fourth) throw new Error("hosts are missing");
    controlPlanes = [first, second, third];
    node = fourth;
    await bootstrap(first, "datastore-type: etcd\n");
    for (const index of [1, 2]) await joins(at(index), `c${index}`, await joinToken(first, `c${index}`));
  });
  afterAll(async () => {
    await Promise.all([...controlPlanes, node].map((host) => host?.[Symbol.asyncDispose]()));
    await network?.[Symbol.asyncDispose]();
  });

  test("leaves no member, no name and no vote behind, and its token is good for another machine [A6] [A7] [A9]", async () => {
    const points = createFaultPoints(node);
    const token = await joinToken(at(0), "n4");
    const step = stepOf("control plane", false, "Wait for etcd");
    await points.hold(step, "before-run");
    const running = join(node, "n4", token).catch(() => undefined);
    await points.reached(step, "before-run");
    await node.cutPower();
    await running;
    expect(await members(at(0))).toMatchObject({ n4: "joining" });
    expect(await etcdMembers(at(0))).toMatchObject({ n4: "voter" });
    // For one of the control planes the time is over.
    await at(1).clockSkew(holdSeconds);
    await kill(at(1), "k8sd");
    await waitForDaemon(at(1));
    await expectAgreement(controlPlanes, { timeoutMs: 120_000 });
    await isUnspent(at(0), "n4");
    await using other = await createNode({ staged, network, flags: ["--agent-only"] });
    await at(1).clockSkew(0);
    await joins(other, "n4", token);
    await expectAgreement([...controlPlanes, other]);
  });
});
