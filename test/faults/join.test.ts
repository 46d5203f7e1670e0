import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../expect-agreement.ts";
import { becomesReady, bootstrap, daemonState } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import type { Network } from "../hosts/network.ts";
import { scanHost } from "../hosts/scan.ts";
import type { Host, HostSnapshot } from "../hosts/types.ts";
import { createNode, createNodeNetwork, waitForDaemon } from "../node.ts";
import { join, joins, joinToken } from "../scenarios/join/nodes.ts";
import { stagedForTests } from "../stage.ts";
import { isUnspent, type JoinRole, joinSteps, stepOf } from "./join-setup.ts";
import { createFaultPoints, type FaultPoints, faultEnvironment } from "./points.ts";
import { everything, hit, kill } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

type Victim = "k8sd of the node" | "the power of the node" | "k8sd of the cluster" | "the datastore of the cluster";

const nodeVictims: readonly Victim[] = ["k8sd of the node", "the power of the node"];
const clusterVictims: readonly Victim[] = ["k8sd of the cluster", "the datastore of the cluster"];

interface Kind {
  readonly role: JoinRole;
  readonly kubernetes: boolean;
  /** Steps before this one are the same as without Kubernetes. */
  readonly from: string | undefined;
  readonly victims: readonly Victim[];
  /** Where `npm test` looks whether a join goes on with its token; the rest is the other tier's. */
  readonly resumedAt: string;
}

const both: readonly Victim[] = [...nodeVictims, ...clusterVictims];
const kinds: readonly Kind[] = [
  {
    role: "control plane",
    kubernetes: false,
    from: undefined,
    victims: everything ? both : ["k8sd of the node", "the datastore of the cluster"],
    resumedAt: "Join the datastore",
  },
  {
    role: "worker",
    kubernetes: false,
    from: undefined,
    victims: everything ? both : ["k8sd of the node"],
    resumedAt: "Write certificates",
  },
  ...(everything
    ? ([
        {
          role: "control plane",
          kubernetes: true,
          from: "Start kube-apiserver",
          victims: both,
          resumedAt: "Wait for kube-controller-manager",
        },
        { role: "worker", kubernetes: true, from: "Start containerd", victims: both, resumedAt: "Wait for kubelet" },
      ] as const)
    : []),
];

for (const kind of kinds) {
  const { role, kubernetes } = kind;
  const { titles, commit } = joinSteps(role, kubernetes);
  const first = kind.from === undefined ? 0 : stepOf(role, kubernetes, kind.from);
  const engine = role === "worker" ? "" : "datastore-type: etcd\n";
  const config = `${engine}${kubernetes ? "cluster-config: { network: { enabled: true } }\n" : ""}`;
  const datastore = role === "worker" ? "k8s-k8s-datastore" : "k8s-etcd";

  describe.skipIf(reason !== undefined)(
    `the join of a ${role}${kubernetes ? " with Kubernetes" : ""}, interrupted`,
    () => {
      let network: Network | undefined;
      let founder: Host;
      let node: Host;
      let points: FaultPoints;
      let before: HostSnapshot;

      const flags = kubernetes ? [] : ["--agent-only"];
      async function fresh(): Promise<void> {
        await remove();
        const staged = await stagedForTests();
        network = await createNodeNetwork(staged);
        const create = () => createNode({ staged, network: network as Network, flags, env: faultEnvironment });
        [founder, node] = await Promise.all([create(), create()]);
        points = createFaultPoints(node);
        before = await node.snapshot();
        await bootstrap(founder, config === "" ? undefined : config);
        if (kubernetes) await becomesReady(founder);
      }
      async function remove(): Promise<void> {
        await Promise.all([node?.[Symbol.asyncDispose](), founder?.[Symbol.asyncDispose]()]);
        await network?.[Symbol.asyncDispose]();
        network = undefined;
      }
      beforeAll(fresh);
      afterAll(remove);

      const end: Readonly<Record<Victim, () => Promise<void>>> = {
        "k8sd of the node": () => hit(node, "k8sd"),
        "the power of the node": () => hit(node, "the power"),
        "k8sd of the cluster": () => kill(founder, "k8sd"),
        "the datastore of the cluster": () => kill(founder, datastore),
      };
      const token = () => (role === "worker" ? joinToken(founder, "n2", "--worker") : joinToken(founder, "n2"));
      const interruptions = (only?: string) =>
        kind.victims.flatMap((victim) =>
          titles.flatMap((title, step) => {
            if (step < first || step >= commit || (only !== undefined && !title.startsWith(only))) return [];
            // With two members of etcd each one is needed: in `npm test` this is tried where there are two.
            const matters = everything || nodeVictims.includes(victim) || /datastore|Wait for etcd/.test(title);
            return matters ? [{ title, step, victim }] : [];
          }),
        );

      /** Nothing of it on either side: ledger, etcd, Kubernetes, token, the host's disk. */
      async function isOut(): Promise<void> {
        await waitForDaemon(node);
        await waitForDaemon(founder);
        await expectAgreement([founder]);
        await isUnspent(founder, "n2");
        expect((await scanHost(node, before)).filter((line) => !daemonState.test(line))).toEqual([]);
      }

      /** Stands in the step while the victim is killed. @returns how the command ended that waited for the join */
      async function interrupt(step: number, victim: Victim, joinToken: string) {
        await points.hold(step, "in-run");
        const running = join(node, "n2", joinToken).catch(() => undefined);
        await points.reached(step, "in-run");
        await end[victim]();
        await points.release(step, "in-run");
        const ended = await running;
        await waitForDaemon(node);
        await points.clear();
        return ended;
      }

      test.each(interruptions())('in "$title" by killing $victim, and given up [A7]', async ({ step, victim }) => {
        // One whose cluster's side was killed goes on, so it is made to give up at its end.
        if (clusterVictims.includes(victim)) await points.fail(commit, "before-run");
        const ended = await interrupt(step, victim, await token());
        // It got to its end: it did not stand still until its time was over.
        if (clusterVictims.includes(victim)) expect(ended?.stderr).toContain("fault injected");
        await isOut();
      });

      test.each(interruptions(everything ? undefined : kind.resumedAt))(
        'in "$title" by killing $victim, and finished with the same token [A1] [A7] [A12]',
        async ({ step, victim }) => {
          const same = await token();
          const ended = await interrupt(step, victim, same);
          if (clusterVictims.includes(victim)) expect(ended).toMatchObject({ exitCode: 0 });
          else await joins(node, "n2", same);
          if (role === "control plane") await becomesReady(node, kubernetes ? "180s" : "60s");
          await expectAgreement([founder, node]);
          await fresh();
        },
      );

      test("in its last step by killing k8sd of the node, and finished by the next start [A11]", async () => {
        const once = await token();
        await points.hold(commit, "before-run");
        const running = join(node, "n2", once);
        await points.reached(commit, "before-run");
        await kill(node, "k8sd");
        await points.clear();
        await waitForDaemon(node);
        // The command was waiting all the time and tells how it ended.
        expect(await running).toMatchObject({ exitCode: 0 });
        if (role === "control plane") await becomesReady(node, kubernetes ? "180s" : "60s");
        await expectAgreement([founder, node]);
      });
    },
  );
}
