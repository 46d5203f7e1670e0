import { planRecover, planRejoin } from "@k8sd/k8sd/cluster/recover/plan.ts";
import { describe, expect, test } from "vitest";
import { aBootstrapInput } from "../../packages/k8sd/test/support/bootstrap-input.ts";
import { expectAgreement } from "../expect-agreement.ts";
import { becomesReady, bootstrap, k8s } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import { createNetwork } from "../hosts/network.ts";
import type { Host } from "../hosts/types.ts";
import { createNode, waitForDaemon } from "../node.ts";
import { etcdConfig, etcdMembers, joins, joinToken } from "../scenarios/join/nodes.ts";
import { epochOf, put, read } from "../scenarios/recover/three.ts";
import { stagedForTests } from "../stage.ts";
import { sharedByCases } from "./anew.ts";
import { createFaultPoints, type FaultPoints, faultEnvironment } from "./points.ts";
import { hit, interrupted, type Victim, victims } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const input = aBootstrapInput({ kubernetes: false });
const ids = { nodeId: "", clusterId: "", backup: "" };
const recovery = { id: "", by: "", term: 0, index: 0, at: 0 };
const recover = planRecover({ ...ids, before: input, after: input, epoch: 2, recovery }, {}, "generated");
const rejoin = planRejoin({ ...ids, after: input }, "generated");

const cases = (steps: readonly { readonly title: string }[]) =>
  victims.flatMap((victim) => steps.map(({ title }, step) => ({ title: title.replace(/ \d+$/, ""), step, victim })));

/** Two control planes of which one is off: nobody can write. */
describe.skipIf(reason !== undefined)("a recovery, interrupted", () => {
  let n1: Host;
  let n2: Host;
  let points1: FaultPoints;
  let points2: FaultPoints;
  let epoch = 1;

  async function make(stack: AsyncDisposableStack): Promise<void> {
    epoch = 1;
    const network = stack.use(await createNetwork());
    const staged = await stagedForTests();
    const create = async (name: string) =>
      stack.use(await createNode({ name, staged, network, flags: ["--agent-only"], env: faultEnvironment }));
    [n1, n2] = await Promise.all([create("n1"), create("n2")]);
    points1 = createFaultPoints(n1);
    points2 = createFaultPoints(n2);
    await bootstrap(n1, etcdConfig);
    await joins(n2, "n2", await joinToken(n1, "n2"));
    await put(n1, "value", "kept");
  }
  sharedByCases({ make, hosts: () => [n1, n2] });

  async function loseQuorum(): Promise<void> {
    if (!n2.isOn) return;
    await n2.cutPower();
  }

  async function bothInStep(): Promise<void> {
    await n2.boot();
    await waitForDaemon(n2);
    await expect.poll(() => epochOf(n2), { timeout: 60_000 }).toBe(epoch);
    await expect.poll(() => etcdMembers(n1).catch(String), { timeout: 60_000 }).toEqual({ n1: "voter", n2: "voter" });
    await becomesReady(n2);
    expect(await read(n2, "value")).toBe("kept");
    await expectAgreement([n1, n2]);
  }

  function recoversThrough(step: number, victim: Victim) {
    const run = () => k8s(n1, ["recover", "--yes"]);
    return interrupted({ host: n1, points: points1, step, run, fault: () => hit(n1, victim) });
  }

  test.each(cases(recover.steps.slice(0, recover.commit)))(
    'in "$title" by killing $victim, is taken back, and works when it is tried again',
    async ({ step, victim }) => {
      await loseQuorum();
      await recoversThrough(step, victim);
      expect(await epochOf(n1)).toBe(epoch);
      const { stdout } = await n1.run("ls", "/var/snap/k8s/common/var/lib/etcd");
      expect(stdout.split("\n").filter((name) => !/^(data|before-epoch-.*|)$/.test(name))).toEqual([]);
      await bothInStep();
    },
  );

  test.each(cases(recover.steps).filter(({ step }) => step >= recover.commit))(
    'in "$title" by killing $victim, is finished by the next start',
    async ({ step, victim }) => {
      await loseQuorum();
      await recoversThrough(step, victim);
      epoch += 1;
      await becomesReady(n1);
      expect(await epochOf(n1)).toBe(epoch);
      expect(await etcdMembers(n1)).toEqual({ n1: "voter" });
      expect(await read(n1, "value")).toBe("kept");
      await bothInStep();
    },
  );

  test.each(cases(rejoin.steps))(
    'whose other node is killed ($victim) in "$title", takes that node in all the same',
    async ({ step, victim }) => {
      await loseQuorum();
      expect(await k8s(n1, ["recover", "--yes"])).toMatchObject({ exitCode: 0 });
      epoch += 1;
      await points2.hold(step, "in-run");
      await n2.boot();
      await points2.reached(step, "in-run");
      await hit(n2, victim);
      await points2.clear();
      await waitForDaemon(n2);
      await bothInStep();
    },
  );
});
