import { decodeJoinToken, encodeJoinToken } from "@k8sd/k8sd/cluster/tokens-encoding.ts";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../expect-agreement.ts";
import { bootstrap, daemonState } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import type { Network } from "../hosts/network.ts";
import { scanHost } from "../hosts/scan.ts";
import type { Host } from "../hosts/types.ts";
import { createNode, createNodeNetwork, waitForDaemon } from "../node.ts";
import { join, joins, joinToken } from "../scenarios/join/nodes.ts";
import { type Staged, stagedForTests } from "../stage.ts";
import { isUnspent, type JoinRole, joinSteps } from "./join-setup.ts";
import { createFaultPoints, type FaultPoints, faultEnvironment } from "./points.ts";
import { everything } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** In `npm test` the step in which most happens, and the last. */
function stepsToTry(role: JoinRole): readonly { readonly title: string; readonly step: number }[] {
  const { titles, commit } = joinSteps(role, false);
  const all = titles.map((title, step) => ({ title, step }));
  const chosen = [titles.findIndex((title) => /datastore|Write certificates/.test(title)), commit];
  return everything ? all : all.filter(({ step }) => chosen.includes(step));
}

describe.skipIf(reason !== undefined)("a join to three control planes", () => {
  let staged: Staged;
  let network: Network;
  let controlPlanes: readonly Host[] = [];
  let joined: Host[] = [];
  let node: Host;
  let points: FaultPoints;
  const at = (index: number): Host => {
    const host = controlPlanes[index];
    if (host === undefined) throw new Error("the host was not made");
    return host;
  };
  const create = () => createNode({ staged, network, flags: ["--agent-only"], env: faultEnvironment });

  async function createCluster(): Promise<void> {
    staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    controlPlanes = await Promise.all([create(), create(), create()]);
    await bootstrap(at(0), "datastore-type: etcd\n");
    for (const index of [1, 2]) await joins(at(index), `c${index}`, await joinToken(at(0), `c${index}`));
  }
  async function removeCluster(): Promise<void> {
    await Promise.all([...controlPlanes, ...joined].map((host) => host[Symbol.asyncDispose]()));
    joined = [];
    await network?.[Symbol.asyncDispose]();
  }
  async function newNode(): Promise<void> {
    node = await create();
    joined.push(node);
    points = createFaultPoints(node);
  }
  beforeAll(createCluster);
  afterAll(removeCluster);
  afterEach(() => network.heal());

  let count = 0;
  const nextName = (): string => {
    count += 1;
    return `n${count}`;
  };

  /** A token that names the first control plane alone: it is the one that accepts the node, and names the others to it. */
  async function tokenOfFirst(name: string, role: JoinRole): Promise<string> {
    const token = await joinToken(at(0), name, ...(role === "worker" ? ["--worker"] : []));
    return encodeJoinToken({ ...decodeJoinToken(token), addresses: [`${at(0).address}:6400`] });
  }

  const roles: readonly JoinRole[] = everything ? ["worker", "control plane"] : ["worker"];
  for (const role of roles) {
    test.each(stepsToTry(role))(
      `of a ${role} goes on with the others when the one that accepted it dies in "$title" [A4] [A6] [A10] [A14]`,
      async ({ step }) => {
        const name = nextName();
        await newNode();
        await points.hold(step, "before-run");
        const running = join(node, name, await tokenOfFirst(name, role));
        await points.reached(step, "before-run");
        await at(0).cutPower();
        await points.clear();
        const ended = await running;
        expect(ended.exitCode, ended.stderr).toBe(0);
        const live = [at(1), at(2), ...joined];
        await expectAgreement(live, { unasked: { [at(0).name]: "control-plane" } });
        await at(0).boot();
        await waitForDaemon(at(0));
        await expectAgreement([at(0), ...live]);
        // Voters would add up, and each case shall lose one of three.
        if (role === "control plane") {
          await removeCluster();
          await createCluster();
        }
      },
    );
  }

  test.each(stepsToTry("worker"))(
    'whose node is cut off for a while in "$title" goes on by itself',
    async ({ step }) => {
      const name = nextName();
      await newNode();
      await points.hold(step, "before-run");
      const running = join(node, name, await joinToken(at(1), name, "--worker"));
      await points.reached(step, "before-run");
      await node.partition();
      await points.clear();
      await new Promise((resolve) => setTimeout(resolve, 4_000));
      await node.heal();
      const ended = await running;
      expect(ended.exitCode, ended.stderr).toBe(0);
      await expectAgreement([...controlPlanes, ...joined]);
    },
  );

  test("whose node is cut off for longer leaves nothing on it, and goes on with the same token [A1] [A6] [A9]", async () => {
    const { commit } = joinSteps("worker", false);
    const name = nextName();
    await newNode();
    const before = await node.snapshot();
    const token = await joinToken(at(2), name, "--worker");
    await points.fail(commit, "before-run");
    await points.hold(commit - 1, "before-run");
    const running = join(node, name, token);
    await points.reached(commit - 1, "before-run");
    await node.partition();
    await points.release(commit - 1, "before-run");
    expect(await running).toMatchObject({ exitCode: 1 });
    expect((await scanHost(node, before)).filter((line) => !daemonState.test(line))).toEqual([]);
    // The cluster has not heard of the end: the place is still held, for this node alone.
    await points.clear();
    await node.heal();
    await joins(node, name, token);
    await expectAgreement([...controlPlanes, ...joined]);
  });

  test("that is refused for what the node is leaves its token as it was", async () => {
    const name = nextName();
    await newNode();
    const token = await joinToken(at(0), name, "--worker");
    expect(await join(node, "somebody-else", token)).toMatchObject({ exitCode: 1 });
    await isUnspent(at(1), name);
    await joins(node, name, token);
    await expectAgreement([...controlPlanes, ...joined]);
  });
});
