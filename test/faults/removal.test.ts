import { planLeave } from "@k8sd/k8sd/cluster/leave/plan.ts";
import { planRemove } from "@k8sd/k8sd/cluster/remove/plan.ts";
import { describe, expect, test } from "vitest";
import { expectAgreement } from "../expect-agreement.ts";
import { k8s } from "../expect-node.ts";
import { expectOut, expectRefused, type Identity, identityOf } from "../expect-out.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import type { Host, HostSnapshot } from "../hosts/types.ts";
import { createNode, createNodeNetwork, waitForDaemon } from "../node.ts";
import { etcdConfig, joins, joinToken } from "../scenarios/join/nodes.ts";
import { stagedForTests } from "../stage.ts";
import { sharedByCases } from "./anew.ts";
import { createFaultPoints, faultEnvironment } from "./points.ts";
import { hit, interrupted, type Victim, victims } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const names = ["n1", "n2", "n3", "w1"] as const;
type Name = (typeof names)[number];

/** Whoever ordered it is given up on after this. */
const timeout = "10s";

const removal = (role: "control-plane" | "worker") =>
  planRemove(
    { member: { id: "", name: "it", role, addresses: [] }, force: false, drainMs: 0, until: 0 },
    { kubernetes: false, managedEtcd: true, standsStill: false },
    "generated",
  ).steps;

const cases = (steps: readonly { readonly title: string }[], of: readonly Victim[]) =>
  of.flatMap((victim) => steps.map(({ title }, step) => ({ title, step, victim })));

describe.skipIf(reason !== undefined)("the end of a membership, interrupted", () => {
  const hosts = new Map<Name, { readonly host: Host; readonly before: HostSnapshot; readonly identity?: Identity }>();
  const of = (name: Name) => {
    const found = hosts.get(name);
    if (found === undefined) throw new Error(`host ${name} was not made`);
    return found;
  };
  const at = (name: Name): Host => of(name).host;
  const without = (gone: Name): Host[] => names.filter((name) => name !== gone).map(at);

  async function make(stack: AsyncDisposableStack): Promise<void> {
    hosts.clear();
    const staged = await stagedForTests();
    const network = stack.use(await createNodeNetwork(staged));
    await Promise.all(
      names.map(async (name) => {
        const flags = ["--agent-only"];
        const host = stack.use(await createNode({ staged, network, flags, env: faultEnvironment }));
        hosts.set(name, { host, before: await host.snapshot() });
      }),
    );
    const { exitCode, stderr } = await k8s(at("n1"), ["bootstrap", "--name", "n1", "--file", "-"], {
      stdin: etcdConfig,
    });
    expect(exitCode, stderr).toBe(0);
    for (const name of ["n2", "n3", "w1"] as const) await comesIn(name);
  }
  sharedByCases({
    make,
    hosts: () => [...hosts.values()].map(({ host }) => host),
  });

  async function comesIn(name: Name): Promise<void> {
    const flags = name === "w1" ? ["--worker"] : [];
    await joins(
      at(name),
      name,
      await joinToken(at("n2"), name, ...flags).catch(() => joinToken(at("n1"), name, ...flags)),
    );
    hosts.set(name, { ...of(name), identity: await identityOf(at(name), at("n1")) });
  }

  /** On all sides: the ledgers agree without it, it knows that it is out, leaves nothing, and is known nowhere. */
  async function isOut(name: Name): Promise<void> {
    for (const each of names) await waitForDaemon(at(each));
    const { host, before, identity } = of(name);
    await expectOut(host, { before });
    await expectAgreement(without(name));
    if (identity === undefined) throw new Error(`${name} was not known as a member`);
    await expectRefused(identity, host, [at("n1"), at("n2")]);
  }

  async function interrupt(on: Name, argv: readonly string[], step: number, victim: Victim): Promise<void> {
    const host = at(on);
    const run = () => k8s(host, [...argv, "--timeout", timeout]);
    await interrupted({ host, points: createFaultPoints(host), step, run, fault: () => hit(host, victim) });
  }

  test.each(cases(removal("control-plane"), victims))(
    'the removal of a control plane in "$title" by killing $victim of the one that ordered it',
    async ({ step, victim }) => {
      await interrupt("n1", ["remove-node", "n3"], step, victim);
      await isOut("n3");
      await comesIn("n3");
    },
  );

  test.each(cases(removal("worker"), ["the power"]))(
    'the removal of a worker in "$title", finished by others when the one that ordered it is gone',
    async ({ step }) => {
      const points = createFaultPoints(at("n1"));
      await points.hold(step, "in-run");
      const running = k8s(at("n1"), ["remove-node", "w1", "--timeout", timeout]).catch(() => undefined);
      await points.reached(step, "in-run");
      await at("n1").cutPower();
      await running;
      await expectAgreement([at("n2"), at("n3")], { unasked: { n1: "control-plane" } });
      await points.clear();
      await at("n1").boot();
      await isOut("w1");
      await comesIn("w1");
    },
  );

  const leave = planLeave({ name: "it", cluster: "asks" }, "generated").steps;
  test.each(cases(leave, victims))('a leave in "$title" by killing $victim of the node', async ({ step, victim }) => {
    await interrupt("n3", ["leave"], step, victim);
    await isOut("n3");
    await comesIn("n3");
  });
});
