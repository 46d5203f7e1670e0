import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { planRebuild } from "@k8sd/k8sd/cluster/snapshot/restore-plan.ts";
import { describe, expect, test } from "vitest";
import { aBootstrapInput } from "../../packages/k8sd/test/support/bootstrap-input.ts";
import { expectAgreement } from "../expect-agreement.ts";
import { becomesReady, bootstrap, daemonState, k8s } from "../expect-node.ts";
import { hostsUnavailable } from "../hosts/available.ts";
import { scanHost } from "../hosts/scan.ts";
import type { Host, HostSnapshot } from "../hosts/types.ts";
import { createNode } from "../node.ts";
import { put, read } from "../scenarios/snapshot/keys.ts";
import { stagedForTests } from "../stage.ts";
import { sharedByCases } from "./anew.ts";
import { createFaultPoints, type FaultPoints, faultEnvironment } from "./points.ts";
import { hit, interrupted, victims } from "./victim.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const engines = ["sqlite", "etcd"] as const;

const recovery = { id: "", by: "", term: 0, index: 0, at: 0 };
const facts = { path: "", revision: 0, epoch: 2, recovery, podSubnetIndex: 0 };
const { steps, commit } = planRebuild(aBootstrapInput({ kubernetes: false }), facts, {}, "generated");
const cases = victims.flatMap((victim) =>
  steps.map(({ title }, step) => ({ title: title.replace(/k8s-datastore/, "the engine"), step, victim })),
);

describe.skipIf(reason !== undefined).each(engines)(
  "a fresh machine with %s that is restored, interrupted",
  (engine) => {
    let source: Host;
    let host: Host;
    let points: FaultPoints;
    let before: HostSnapshot;
    const keyFile = "/root/snapshots.key";
    const command = ["snapshot", "restore", "/root/snapshot", "--key-file", keyFile, "--yes", "--engine", engine];

    async function fresh(): Promise<void> {
      await host?.[Symbol.asyncDispose]();
      host = await createNode({ staged: await stagedForTests(), flags: ["--agent-only"], env: faultEnvironment });
      points = createFaultPoints(host);
      for (const name of ["snapshot", "snapshots.key"]) {
        await copyFile(join(source.root, "root", name), join(host.root, "root", name));
      }
      before = await host.snapshot();
    }
    async function make(stack: AsyncDisposableStack): Promise<void> {
      stack.defer(() => host?.[Symbol.asyncDispose]());
      source = stack.use(await createNode({ staged: await stagedForTests(), flags: ["--agent-only"] }));
      await bootstrap(source);
      await put(source, "kept", "value");
      expect(await k8s(source, ["snapshot", "key", "--out", keyFile])).toMatchObject({ exitCode: 0 });
      expect(await k8s(source, ["snapshot", "save", "--directory", "/root/saved"])).toMatchObject({ exitCode: 0 });
      await source.run("sh", "-c", "mv /root/saved/* /root/snapshot");
      await fresh();
    }
    sharedByCases({ make, hosts: () => [source, host] });

    test.each(cases)('in "$title" by killing $victim, is the cluster or clean', async ({ step, victim }) => {
      await interrupted({ host, points, step, run: () => k8s(host, command), fault: () => hit(host, victim) });
      if (step >= commit) {
        await becomesReady(host);
        expect(await read(host, "kept")).toBe("value");
        await expectAgreement([host]);
        await fresh();
        return;
      }
      expect((await k8s(host, ["local-node-status"])).stderr).toContain("not part of a Kubernetes cluster");
      expect((await scanHost(host, before)).filter((line) => !daemonState.test(line))).toEqual([]);
    });

    test("works after all of that", async () => {
      const restored = await k8s(host, command);
      expect(restored.exitCode, restored.stderr).toBe(0);
      await becomesReady(host);
      expect(await read(host, "kept")).toBe("value");
    });
  },
);
