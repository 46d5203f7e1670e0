import { type JoinInput, planJoin } from "@k8sd/k8sd/cluster/join/plan.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { aBootstrapInput } from "../../packages/k8sd/test/support/bootstrap-input.ts";
import { becomesReady, bootstrap, daemonState } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import { createNetwork, type Network } from "../hosts/network.ts";
import { scanHost } from "../hosts/scan.ts";
import type { Host, HostSnapshot } from "../hosts/types.ts";
import { createNode, waitForDaemon } from "../node.ts";
import { etcdConfig, etcdMembers, join, joinToken, members } from "../scenarios/join/nodes.ts";
import { stagedForTests } from "../stage.ts";
import { createFaultPoints, type FaultPoints, faultEnvironment } from "./points.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** `npm test` kills the joining node in each step; `pnpm test:faults` the cluster's side and the power too. */
const everything = process.env.K8SD_FAULTS !== "main";

type Victim = "k8sd of the node" | "the power of the node" | "k8sd of the cluster";

/** A control plane on etcd, the agent alone: what the plan of such a join is made from. */
function aJoinInput(): JoinInput {
  const input = aBootstrapInput({ kubernetes: false });
  const datastore = {
    engine: "etcd",
    endpoints: [],
    clientPort: 2379,
    peerPort: 2380,
    initialCluster: { state: "existing", peers: {} },
  } as const;
  const via = { fingerprint: "", addresses: [], apiServers: [] };
  return { ...input, view: { ...input.view, datastore }, via, skewMs: 0 };
}

const { steps, commit } = planJoin(aJoinInput(), "generated");

async function kill(host: Host): Promise<void> {
  const { stdout } = await host.run("systemctl", "show", "--property=MainPID", "--value", "k8sd");
  if (stdout.trim() !== "0") await host.run("kill", "-9", stdout.trim());
}

describe.skipIf(reason !== undefined)("the join of a control plane, interrupted", () => {
  let network: Network;
  let founder: Host;
  let node: Host;
  let points: FaultPoints;
  let before: HostSnapshot;

  beforeAll(async () => {
    network = await createNetwork();
    const staged = await stagedForTests();
    const create = () => createNode({ staged, network, flags: ["--agent-only"], env: faultEnvironment });
    [founder, node] = await Promise.all([create(), create()]);
    points = createFaultPoints(node);
    before = await node.snapshot();
    await bootstrap(founder, etcdConfig);
  });
  afterAll(async () => {
    await node?.[Symbol.asyncDispose]();
    await founder?.[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
  });

  const end: Readonly<Record<Victim, () => Promise<void>>> = {
    "k8sd of the node": () => kill(node),
    "the power of the node": async () => {
      await node.cutPower();
      await node.boot();
    },
    "k8sd of the cluster": () => kill(founder),
  };

  /** Nothing of it on either side: ledger, etcd, the host's disk. */
  async function isOut(): Promise<void> {
    await waitForDaemon(node);
    await waitForDaemon(founder);
    expect(await members(founder)).toEqual({ [founder.name]: "active" });
    expect(await etcdMembers(founder)).toEqual({ [founder.name]: "voter" });
    expect((await scanHost(node, before)).filter((line) => !daemonState.test(line))).toEqual([]);
  }

  const victims: readonly Victim[] = everything
    ? ["k8sd of the node", "the power of the node", "k8sd of the cluster"]
    : ["k8sd of the node"];
  const interruptions = victims.flatMap((victim) =>
    steps.slice(0, commit).map(({ title }, step) => ({ title, step, victim })),
  );

  test.each(interruptions)('in "$title" by killing $victim, and given up', async ({ step, victim }) => {
    const token = await joinToken(founder, "n2");
    // One whose cluster's side was killed goes on, so it is made to give up at its end.
    if (victim === "k8sd of the cluster") await points.fail(commit, "before-run");
    await points.hold(step, "in-run");
    const running = join(node, "n2", token).catch(() => undefined);
    await points.reached(step, "in-run");
    await end[victim]();
    await points.release(step, "in-run");
    await running;
    await waitForDaemon(node);
    await points.clear();
    await isOut();
  });

  test("in its last step by killing k8sd of the node, and finished by the next start", async () => {
    const token = await joinToken(founder, "n2");
    await points.hold(commit, "before-run");
    const running = join(node, "n2", token);
    await points.reached(commit, "before-run");
    await kill(node);
    await points.clear();
    await waitForDaemon(node);
    // The command was waiting all the time and tells how it ended.
    expect(await running).toMatchObject({ exitCode: 0 });
    await becomesReady(node);
    expect(await members(node)).toEqual({ [founder.name]: "active", n2: "active" });
    expect(await etcdMembers(node)).toEqual({ [founder.name]: "voter", n2: "voter" });
  });
});
