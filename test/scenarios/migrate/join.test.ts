import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, k8s } from "../../expect-node.ts";
import { hearsThatItIsOut } from "../../expect-out.ts";
import { createFaultPoints, faultEnvironment } from "../../faults/points.ts";
import { kill } from "../../faults/victim.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode, createNodeNetwork } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { etcdMembers, join, joinToken } from "../join/nodes.ts";
import { contentHash, fill, isOn, migrate, migrates, report, stepOf, write } from "./engines.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("control planes that join a cluster on sqlite", () => {
  let network: Network;
  let founder: Host;
  let second: Host;
  let third: Host;

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    const create = (name: string) =>
      createNode({ name, staged, network, flags: ["--agent-only"], env: faultEnvironment });
    [founder, second, third] = await Promise.all([create("n1"), create("n2"), create("n3")]);
    await bootstrap(founder);
    await fill(founder, 500);
  });
  afterEach(() => createFaultPoints(founder).clear());
  afterAll(async () => {
    await Promise.all([founder, second, third].map((host) => host?.[Symbol.asyncDispose]()));
    await network?.[Symbol.asyncDispose]();
  });

  /** The founder's move stands at this step, or it is told how the join ended that should have led there. */
  async function getsTo(kind: Parameters<typeof stepOf>[0], joining: ReturnType<typeof join>): Promise<void> {
    const ended = joining.then(({ exitCode, stderr }) => `the join ended with ${exitCode}: ${stderr}`, String);
    const reached = createFaultPoints(founder).reached(stepOf(kind), "in-run");
    const early = await Promise.race([reached, ended]);
    if (early !== undefined) throw new Error(early);
  }

  test("both at once move its data to etcd once, see it happen, and come in, while it is written to", async () => {
    const tokens = [await joinToken(founder, "n2"), await joinToken(founder, "n3")];
    const before = await contentHash(founder);
    const writing = await write(founder);
    const results = await Promise.all([second, third].map((host, index) => join(host, host.name, tokens[index] ?? "")));
    for (const { exitCode, stdout, stderr } of results) {
      expect([exitCode, stdout, stderr]).toEqual([0, expect.anything(), expect.anything()]);
      expect(stderr).toMatch(/The cluster: Copy the data while the cluster works/);
      expect(stderr).toMatch(/Join the datastore/);
    }
    expect(await writing.ends()).toBeGreaterThan(10);
    await isOn(founder, "etcd");
    for (const host of [second, third]) await becomesReady(host);
    for (const host of [founder, second, third]) expect(await contentHash(host)).toBe(before);
    expect(await etcdMembers(founder)).toEqual({ n1: "voter", n2: "voter", n3: "voter" });
    expect((await report(second)).engine).toBe("etcd");
    await expectAgreement([founder, second, third]);
  });

  test("keep it from going back, and it says why", async () => {
    const { exitCode, stderr } = await migrate(second, "sqlite");
    expect(exitCode).toBe(1);
    for (const text of ["n1 is a control plane too", "n3 is a control plane too", "etcd has 2 other members"]) {
      expect(stderr).toContain(text);
    }
  });

  test("go again, and it moves back", async () => {
    const before = await contentHash(founder);
    for (const name of ["n2", "n3"]) {
      const { exitCode, stderr } = await k8s(founder, ["remove-node", name]);
      expect(exitCode, stderr).toBe(0);
    }
    await migrates(founder, "sqlite");
    await isOn(founder, "sqlite");
    expect(await contentHash(founder)).toBe(before);
    await expectAgreement([founder]);
    for (const host of [second, third]) await hearsThatItIsOut(host);
  });

  test("leave it alone when their caller gives up meanwhile", async () => {
    const token = await joinToken(founder, "n2");
    const points = createFaultPoints(founder);
    await points.hold(stepOf("copy-data"), "in-run");
    const joining = join(second, "n2", token);
    await getsTo("copy-data", joining);
    await second.run("pkill", "-INT", "-f", "join-cluster");
    expect(await joining).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("it was cancelled") });
    const { stderr } = await k8s(second, ["local-node-status"]);
    expect(stderr).toContain("not part of a Kubernetes cluster");
    await points.clear();
    await expect.poll(async () => (await report(founder)).engine, { timeout: 60_000 }).toBe("etcd");
    await isOn(founder, "etcd");
    await migrates(founder, "sqlite");
  });

  test("come in although the founder's k8sd is killed while it moves", async () => {
    const before = await contentHash(founder);
    const points = createFaultPoints(founder);
    await points.hold(stepOf("finish-copy"), "in-run");
    const joining = join(second, "n2", await joinToken(founder, "n2"));
    await getsTo("finish-copy", joining);
    await kill(founder, "k8sd");
    await points.clear();
    const { exitCode, stderr } = await joining;
    expect(exitCode, stderr).toBe(0);
    await isOn(founder, "etcd");
    expect(await contentHash(second)).toBe(before);
    await expectAgreement([founder, second]);
  });
});
