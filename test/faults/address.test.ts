import { planSetAddress } from "@k8sd/k8sd/cluster/address/plan.ts";
import { describe, expect, test } from "vitest";
import { aBootstrapInput } from "../../packages/k8sd/test/support/bootstrap-input.ts";
import { expectAgreement } from "../expect-agreement.ts";
import { becomesReady, bootstrap, k8s } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import { createNetwork } from "../hosts/network.ts";
import type { Host } from "../hosts/types.ts";
import { createNode } from "../node.ts";
import { addAddress, otherAddress } from "../scenarios/address/addresses.ts";
import { etcdConfig, joins, joinToken } from "../scenarios/join/nodes.ts";
import { etcdctl } from "../scenarios/recover/three.ts";
import { stagedForTests } from "../stage.ts";
import { sharedByCases } from "./anew.ts";
import { createFaultPoints, type FaultPoints, faultEnvironment } from "./points.ts";
import { interrupted, kill } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** What a change of the address of a control plane on etcd is made of. */
const { steps, commit } = (() => {
  const input = aBootstrapInput({ kubernetes: false });
  const datastore = {
    engine: "etcd",
    endpoints: [],
    clientPort: 2379,
    peerPort: 2380,
    initialCluster: { state: "existing", peers: {} },
  } as const;
  const node = { ...input, view: { ...input.view, datastore } };
  return planSetAddress({ nodeId: "", clusterId: "", before: node, after: node }, {}, "generated");
})();

describe.skipIf(reason !== undefined)("a change of the address of one of two control planes, interrupted", () => {
  let n1: Host;
  let n2: Host;
  let points: FaultPoints;
  let other = "";

  async function make(stack: AsyncDisposableStack): Promise<void> {
    const network = stack.use(await createNetwork());
    const staged = await stagedForTests();
    const create = async (name: string) =>
      stack.use(await createNode({ name, staged, network, flags: ["--agent-only"], env: faultEnvironment }));
    [n1, n2] = await Promise.all([create("n1"), create("n2")]);
    points = createFaultPoints(n2);
    await bootstrap(n1, etcdConfig);
    await joins(n2, "n2", await joinToken(n1, "n2"));
    other = otherAddress(n2);
    await addAddress(n2, other);
  }
  sharedByCases({ make, hosts: () => [n1, n2] });

  /** Node, ledger, etcd and listener say the same, and the datastore works. */
  async function isAt(address: string): Promise<void> {
    await becomesReady(n2);
    const { stdout } = await k8s(n2, ["local-node-status", "--output-format", "json"]);
    expect(JSON.parse(stdout)).toMatchObject({ address: `${address}:6400` });
    const peers = () => etcdctl(n1, "member", "list");
    await expect.poll(peers, { timeout: 60_000 }).toContain(`n2, https://${address}:2380, https://${address}:2379`);
    const listed = async () => (await k8s(n1, ["status"])).stdout;
    await expect.poll(listed, { timeout: 60_000 }).toContain(`${address}:6400`);
    await expectAgreement([n1, n2]);
    await n1.run("curl", "-sSk", "--retry", "5", "--retry-all-errors", `https://${address}:6400/core/1.0/ready`);
  }

  function movesThrough(step: number, moment: "in-run" | "before-run") {
    const run = () => k8s(n2, ["set-address", other]);
    return interrupted({ host: n2, points, step, moment, run, fault: () => kill(n2, "k8sd") });
  }

  test.each(steps.slice(0, commit).map(({ title }, step) => ({ title, step })))(
    'in "$title" by killing k8sd, leaves the old address everywhere',
    async ({ step }) => {
      expect(await movesThrough(step, "in-run")).toMatchObject({ exitCode: 1 });
      await isAt(n2.address);
    },
  );

  test("in its last step by killing k8sd, is there or not there, and works when it is tried again", async () => {
    await movesThrough(commit, "before-run");
    await isAt(n2.address);
    expect(await k8s(n2, ["set-address", other])).toMatchObject({ exitCode: 0 });
    await isAt(other);
  });
});
