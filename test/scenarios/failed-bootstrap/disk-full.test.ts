import { planBootstrap } from "@k8sd/k8sd/cluster/bootstrap/plan.ts";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { aBootstrapInput } from "../../../packages/k8sd/test/support/bootstrap-input.ts";
import { becomesReady, bootstrap } from "../../expect-node.ts";
import { createFaultPoints, type FaultPoints, faultDirectory, faultEnvironment } from "../../faults/points.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { createNode, waitForDaemon } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { expectClean, failedBootstrap } from "./attempt.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const state = "/var/snap/k8s/common";
const filler = `${state}/filler`;
/** Before these steps a full disk cannot be overlooked: they, or those after them, write to it. */
const writing = planBootstrap(aBootstrapInput({ kubernetes: false }), "any").steps.flatMap(({ kind, title }, step) =>
  ["create-directories", "write-certificates", "install-services", "start-services"].includes(kind)
    ? [{ step, title }]
    : [],
);

describe.skipIf(reason !== undefined)("bootstrap on a disk without room", () => {
  let host: Host;
  let points: FaultPoints;
  let before: HostSnapshot;
  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests(), env: faultEnvironment, flags: ["--agent-only"] });
    points = createFaultPoints(host);
    await host.run("systemctl", "stop", "k8sd");
    // The state moves to a disk of its own, large enough for the preflight check and little larger.
    await host.run(
      "sh",
      "-euc",
      `mv ${state} /var/saved; mkdir ${state}; truncate -s 1200M /var/disk; mkfs.ext4 -q -m 0 /var/disk
       mount -o loop /var/disk ${state}; rmdir ${state}/lost+found; mv /var/saved/* ${state}/; rmdir /var/saved`,
    );
    await host.run("systemctl", "start", "k8sd");
    await waitForDaemon(host);
    before = await host.snapshot();
  });
  afterAll(() => host?.[Symbol.asyncDispose]());
  // Also after a failure: what comes next is not about this one's disk.
  afterEach(() => host.run("rm", "-f", filler));

  /** Leaves so many kilobytes; what one large file does not get, a second one that grows to the end gets. */
  const fill = (leave: number) =>
    host.run(
      "sh",
      "-c",
      `free=$(df --output=avail -k ${state} | tail -n 1); fallocate -l $((free - ${leave}))k ${filler}
       [ ${leave} -gt 0 ] || cat /dev/zero 2>/dev/null >>${filler}; true`,
    );
  /** What a snapshot of the host does not see: it stops at mounts. */
  async function expectNothingOfOurs(): Promise<void> {
    await expectClean(host, before);
    const { stdout } = await host.run("find", state, "-type", "f", "-not", "-path", `${state}/images/*`);
    const left = stdout.split("\n").filter((path) => path !== "" && path !== filler);
    expect(
      left.filter((path) => !/\/args\/k8sd(-env)?$|\/k8sd\/state\/(node\.db|node\.key|seal\.key)/.test(path)),
    ).toEqual([]);
  }

  test("too little room: said before anything is written", async () => {
    await fill(102_400);
    const { stderr, seconds } = await failedBootstrap(host);
    expect(stderr).toMatch(/\/var\/snap\/k8s\/common has (9\d|100) MiB of free disk space, 1024 MiB are needed/);
    expect(stderr).toContain("Free disk space there.");
    expect(seconds).toBeLessThan(10);
    await expectNothingOfOurs();
  });

  test("no room at all: said as well", async () => {
    await fill(0);
    const { stderr } = await failedBootstrap(host);
    expect(stderr).toContain("/var/snap/k8s/common has 0 MiB of free disk space");
    await expectNothingOfOurs();
  });

  test.each(writing)('a disk that fills up before "$title": said, and everything is taken back', async ({ step }) => {
    await points.hold(step, "before-run");
    const running = failedBootstrap(host);
    running.catch(() => {
      // Looked at below, unless the test fails before.
    });
    await points.reached(step, "before-run");
    await fill(0);
    await points.clear();
    const { stderr } = await running;
    expect(stderr).toMatch(/ENOSPC.*Free disk space|database or disk is full/);
    await expectNothingOfOurs();
  });

  test("works on the same host when there is room again", async () => {
    await host.run("rm", "-rf", faultDirectory);
    await bootstrap(host);
    await becomesReady(host);
  });
});
