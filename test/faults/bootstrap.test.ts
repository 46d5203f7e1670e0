import {
  type BootstrapInput,
  type BootstrapStep,
  datastoreService,
  planBootstrap,
} from "@k8sd/k8sd/cluster/bootstrap/plan.ts";
import type { BoundaryMoment } from "@k8sd/k8sd/operations/boundary.ts";
import { describe, expect, test } from "vitest";
import { aBootstrapInput } from "../../packages/k8sd/test/support/bootstrap-input.ts";
import { becomesReady, bootstrap, daemonState, k8s } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import { scanHost } from "../hosts/scan.ts";
import type { Host, HostSnapshot } from "../hosts/types.ts";
import { createNode } from "../node.ts";
import { stagedForTests } from "../stage.ts";
import { sharedByCases } from "./anew.ts";
import { createFaultPoints, type FaultPoints, faultEnvironment } from "./points.ts";
import { everything, hit, interrupted, kill, type Victim } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

type BootstrapVictim = Victim | "k8s-datastore";

interface Kind {
  readonly name: string;
  readonly kubernetes: boolean;
  readonly moments: readonly BoundaryMoment[];
  readonly victims: readonly BootstrapVictim[];
  /** Steps before this one are the same as without Kubernetes. */
  readonly from: BootstrapStep["title"] | undefined;
  /** Whether undo is interrupted too. */
  readonly undo: boolean;
}

/** `npm test` tries every step; `pnpm test:faults` tries every boundary with every victim, also with Kubernetes. */
const kinds: readonly Kind[] = [
  {
    name: "of the agent",
    kubernetes: false,
    moments: everything ? ["before-run", "in-run", "after-run"] : ["in-run"],
    victims: ["k8sd", "k8s-datastore", "the power"],
    from: undefined,
    undo: true,
  },
  {
    name: "with Kubernetes",
    kubernetes: true,
    moments: ["in-run"],
    victims: everything ? ["k8sd", "k8s-datastore", "the power"] : ["the power"],
    from: "Start kube-apiserver, containerd",
    undo: everything,
  },
];

interface Interruption {
  readonly step: number;
  readonly title: string;
  readonly moment: BoundaryMoment;
  readonly victim: BootstrapVictim;
}

function firstOf(steps: readonly BootstrapStep[], { from }: Kind): number {
  const first = from === undefined ? 0 : steps.findIndex(({ title }) => title === from);
  expect(first).toBeGreaterThanOrEqual(0);
  return first;
}

/** Every interruption that the plan makes possible: a process can be killed once a step has started it. */
function interruptions(input: BootstrapInput, kind: Kind): readonly Interruption[] {
  const { steps } = planBootstrap(input, "generated");
  const first = firstOf(steps, kind);
  const store = datastoreService(input.view);
  const started = steps.findIndex(
    ({ kind, args }) => kind === "start-services" && args?.services.includes(store ?? ""),
  );
  return steps.flatMap(({ title }, step) =>
    step < first
      ? []
      : kind.moments.flatMap((moment) =>
          kind.victims
            .filter((victim) => victim !== "k8s-datastore" || step > started)
            .map((victim) => ({ step, title, moment, victim })),
        ),
  );
}

for (const kind of kinds) {
  const input = aBootstrapInput({ kubernetes: kind.kubernetes });
  const { steps } = planBootstrap(input, "generated");
  const flags = kind.kubernetes ? [] : ["--agent-only"];

  describe.skipIf(reason !== undefined)(`bootstrap ${kind.name}, interrupted`, () => {
    let host: Host;
    let points: FaultPoints;
    let before: HostSnapshot;

    async function fresh(): Promise<void> {
      await host?.[Symbol.asyncDispose]();
      host = await createNode({ staged: await stagedForTests(), env: faultEnvironment, flags });
      points = createFaultPoints(host);
      before = await host.snapshot();
    }
    sharedByCases({
      make: (stack) => {
        stack.defer(() => host?.[Symbol.asyncDispose]());
        return fresh();
      },
      hosts: () => [host],
    });

    /** The promise: a member that works, or a host on which nothing of ours is left. */
    async function isMemberOrClean(): Promise<"member" | "clean"> {
      const known = await k8s(host, ["local-node-status"]);
      if (known.exitCode === 0) {
        await becomesReady(host);
        return "member";
      }
      expect(known.stderr).toContain("not part of a Kubernetes cluster");
      const left = (await scanHost(host, before)).filter((line) => !daemonState.test(line));
      expect(left).toEqual([]);
      return "clean";
    }

    async function interrupt({ step, moment, victim }: Omit<Interruption, "title">): Promise<void> {
      const run = () => k8s(host, ["bootstrap", "--address", host.address, "--timeout", "120s"]);
      const fault = () => (victim === "k8s-datastore" ? kill(host, "k8s-k8s-datastore") : hit(host, victim));
      await interrupted({ host, points, step, moment, run, fault });
    }

    test.each(interruptions(input, kind))('$moment of "$title" by killing $victim', async (interruption) => {
      await interrupt(interruption);
      if ((await isMemberOrClean()) === "member") await fresh();
    });

    const undone = steps.map(({ title }, step) => ({ title, step })).slice(firstOf(steps, kind));
    test.each(kind.undo ? undone : [])('in the undo of "$title" by killing k8sd', async ({ step }) => {
      await points.fail(steps.length - 1, "before-run");
      await interrupt({ step, moment: "before-undo", victim: "k8sd" });
      expect(await isMemberOrClean()).toBe("clean");
    });

    test("works on the same host after all of that", async () => {
      await bootstrap(host);
      await becomesReady(host);
    });
  });
}
