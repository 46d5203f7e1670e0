import { planBootstrap } from "@k8sd/k8sd/cluster/bootstrap/plan.ts";
import type { BoundaryMoment } from "@k8sd/k8sd/operations/boundary.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { aBootstrapInput } from "../../packages/k8sd/test/support/bootstrap-input.ts";
import { becomesReady, bootstrap, k8s } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import { scanHost } from "../hosts/scan.ts";
import type { Host, HostSnapshot } from "../hosts/types.ts";
import { createNode, waitForDaemon } from "../node.ts";
import { stagedForTests } from "../stage.ts";
import { createFaultPoints, type FaultPoints, faultDirectory, faultEnvironment } from "./points.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const kinds = [
  // Each bootstrap takes a second without Kubernetes, so every boundary is tried with every victim.
  { name: "of the agent", kubernetes: false, moments: ["before-run", "in-run", "after-run"] as const },
  { name: "with Kubernetes", kubernetes: true, moments: ["in-run"] as const },
] as const;

/** Everything of the daemon's own that stays by right: its state, journal and log. */
const daemonState = /\/var\/snap\/k8s\/common\/(var\/lib\/k8sd|args\/k8sd)|\/var\/tmp\/fault-points/;

async function kill(host: Host, unit: string): Promise<void> {
  const { stdout } = await host.run("systemctl", "show", "--property=MainPID", "--value", unit);
  if (stdout.trim() !== "0") await host.run("kill", "-9", stdout.trim());
}

const victims: Readonly<Record<string, (host: Host) => Promise<void>>> = {
  k8sd: (host) => kill(host, "k8sd"),
  "k8s-datastore": (host) => kill(host, "k8s-k8s-datastore"),
  "the power": async (host) => {
    await host.cutPower();
    await host.boot();
  },
};

for (const { name, kubernetes, moments } of kinds) {
  const plan = planBootstrap(aBootstrapInput({ kubernetes }), "generated");
  const flags = kubernetes ? [] : ["--agent-only"];

  describe.skipIf(reason !== undefined)(`bootstrap ${name}, interrupted`, () => {
    let host: Host;
    let points: FaultPoints;
    let before: HostSnapshot;

    async function fresh(): Promise<void> {
      await host?.[Symbol.asyncDispose]();
      host = await createNode({ staged: await stagedForTests(), env: faultEnvironment, flags });
      points = createFaultPoints(host);
      before = await host.snapshot();
    }
    beforeAll(fresh);
    afterAll(() => host?.[Symbol.asyncDispose]());

    /** The promise: a member that works, or a host on which nothing of ours is left and the next attempt works. */
    async function isMemberOrClean(): Promise<"member" | "clean"> {
      await points.clear();
      await waitForDaemon(host);
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

    async function interrupt(step: number, moment: BoundaryMoment, victim: string): Promise<void> {
      await points.hold(step, moment);
      const running = k8s(host, ["bootstrap", "--address", host.address, "--timeout", "120s"]).catch(() => undefined);
      await points.reached(step, moment);
      await victims[victim]?.(host);
      await points.clear();
      await running;
    }

    for (const [step, { title }] of plan.steps.entries()) {
      for (const moment of moments) {
        for (const victim of Object.keys(victims)) {
          test(`${moment} of "${title}" by killing ${victim}`, async () => {
            await interrupt(step, moment, victim);
            if ((await isMemberOrClean()) === "member") await fresh();
          });
        }
      }
    }

    if (!kubernetes) {
      const last = plan.steps.length - 1;
      for (const [step, { title }] of plan.steps.entries()) {
        test(`in the undo of "${title}" by killing k8sd`, async () => {
          await points.fail(last, "before-run");
          await interrupt(step, "before-undo", "k8sd");
          expect(await isMemberOrClean()).toBe("clean");
        });
      }
    }

    test("works on the same host after all of that", async () => {
      await bootstrap(host);
      await becomesReady(host);
      expect(await host.tryRun(["ls", faultDirectory])).toMatchObject({ stdout: "" });
    });
  });
}
