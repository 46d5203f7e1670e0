import { planBootstrap } from "@k8sd/k8sd/cluster/bootstrap/plan.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { aBootstrapInput } from "../../../packages/k8sd/test/support/bootstrap-input.ts";
import { becomesReady, k8s } from "../../expect-node.ts";
import { createFaultPoints, type FaultPoints, faultEnvironment } from "../../faults/points.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { callDaemon, createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { expectClean, failedBootstrap } from "./attempt.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const { steps } = planBootstrap(aBootstrapInput({ kubernetes: false }), "any");
/** Far enough in for there to be much to take back. */
const middle = steps.findIndex(({ kind }) => kind === "record-cluster");
const pidFile = "/tmp/k8s-bootstrap.pid";

interface OperationAnswer {
  readonly id: string;
  readonly state: string;
}

describe.skipIf(reason !== undefined)("bootstrap that somebody disturbs", () => {
  let host: Host;
  let points: FaultPoints;
  let before: HostSnapshot;
  beforeAll(async () => {
    // With a log that tells each request.
    const flags = ["--agent-only", "--log-level=1"];
    host = await createNode({ staged: await stagedForTests(), env: faultEnvironment, flags });
    points = createFaultPoints(host);
    before = await host.snapshot();
  });
  afterAll(() => host?.[Symbol.asyncDispose]());
  beforeEach(() => points.clear());

  /** A bootstrap that stands in its middle, and whose command has a process id. */
  async function standing() {
    await points.hold(middle, "in-run");
    const command = host.tryRun(["sh", "-c", `echo $$ >${pidFile}; exec k8s bootstrap --address ${host.address}`]);
    command.catch(() => {
      // The test looks at it, unless it fails before.
    });
    await points.reached(middle, "in-run");
    return { command };
  }
  const signal = async (name: "INT" | "KILL"): Promise<void> => {
    await host.run("sh", "-c", `kill -${name} $(cat ${pidFile}); rm ${pidFile}`);
  };
  /** Resolves when the daemon was asked so often to cancel. */
  const cancelled = async (times: number): Promise<void> => {
    const requests = async () => (await host.journal("k8sd")).split('"method":"DELETE"').length - 1;
    await expect.poll(requests, { timeout: 10_000, interval: 200 }).toBe(times);
  };
  const operations = async (): Promise<readonly OperationAnswer[]> => {
    const { metadata } = await callDaemon(host, "GET", "/1.0/k8sd/operations");
    return (metadata as { operations: readonly OperationAnswer[] }).operations;
  };

  test("Ctrl-C cancels it and takes it back", async () => {
    const { command } = await standing();
    await signal("INT");
    await cancelled(1);
    await points.clear();
    const { exitCode, stdout, stderr } = await command;
    expect(stderr).toContain("Cancelling: k8sd takes back what it has done.");
    expect(stderr).toContain("cannot finish bootstrap: it was cancelled");
    expect(stdout).toBe("");
    expect(exitCode).toBe(1);
    await expectClean(host, before);
  });

  test("a step that fails takes everything back, and says which one it was", async () => {
    await points.fail(steps.length - 1, "before-run");
    const { stderr } = await failedBootstrap(host);
    expect(stderr).toContain("Make the node a member ... failed");
    await expectClean(host, before);
  });

  test("a second one at the same time is refused with the first one's id", async () => {
    const { command } = await standing();
    const { stderr, seconds } = await failedBootstrap(host);
    const [first] = (await operations()).filter(({ state }) => state === "running");
    expect(first).toBeDefined();
    expect(stderr).toContain("cannot start bootstrap: a bootstrap is under way");
    expect(stderr).toContain(`Wait until operation ${first?.id} ends, or cancel it.`);
    expect(seconds).toBeLessThan(10);
    await signal("INT");
    await cancelled(2);
    await points.clear();
    expect((await command).exitCode).toBe(1);
    await expectClean(host, before);
  });

  test("a command that is killed leaves the bootstrap to the daemon, and the next one tells the truth", async () => {
    const { command } = await standing();
    await signal("KILL");
    await command;
    const during = await failedBootstrap(host);
    expect(during.stderr).toContain("a bootstrap is under way");
    await points.clear();
    await expect
      .poll(async () => (await k8s(host, ["local-node-status"])).exitCode, { timeout: 20_000, interval: 200 })
      .toBe(0);
    await becomesReady(host);
    const after = await k8s(host, ["bootstrap"]);
    expect(after.stderr).toBe("Error: The node is already part of a cluster\n");
    expect(after.exitCode).toBe(1);
  });
});
