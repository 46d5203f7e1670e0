import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { becomesReady, bootstrap, k8s } from "../../expect-node.ts";
import { createFaultPoints, faultEnvironment } from "../../faults/points.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { contentHash, fill, isOn, migrate, migrates, write } from "./engines.ts";
import { createLoad, type UnderLoad } from "./load.ts";
import { isAt, migrationBetween, startTheirEtcd, type TheirEtcd } from "./their-etcd.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("a cluster without Kubernetes that moves to an etcd of somebody else", () => {
  let host: Host;
  let etcd: TheirEtcd;
  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests(), flags: ["--agent-only"] });
    etcd = await startTheirEtcd(host);
    await bootstrap(host);
    await fill(host, 10_000);
  });
  afterAll(() => host?.[Symbol.asyncDispose]());
  afterEach(({ task }) => {
    if (task.result?.state === "fail") host.markFailed();
  });

  async function isRefused(given: string, why: RegExp): Promise<void> {
    const { exitCode, stderr } = await migrate(host, "external", given);
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(why)]);
    await isOn(host, "sqlite");
  }

  test("is told why one cannot be taken, and stays where it is", async () => {
    await isRefused(etcd.config({ "datastore-servers": ["https://127.0.0.1:12399"] }), /12399 cannot be used/);
    await isRefused(etcd.config({ "datastore-ca-crt": undefined }), /cannot be used: .*certificate/);
    await isRefused(etcd.config({ "datastore-client-key": undefined }), /both are needed/);
    await isRefused("datastore-servers: []\n", /external needs to know where it is/);
    await etcd.etcdctl("put", "/registry/other", "x");
    await isRefused(etcd.config(), /is not empty: it holds 1 key below \/registry\//);
    expect(await etcd.etcdctl("get", "/registry/other", "--print-value-only")).toBe("x\n");
    await etcd.etcdctl("del", "/registry/other");
  });

  test("is told which permission the certificate lacks", async () => {
    await etcd.etcdctl("user", "add", "root", "--no-password");
    await etcd.etcdctl("user", "grant-role", "root", "root");
    await etcd.etcdctl("user", "add", "client", "--no-password");
    await etcd.etcdctl("role", "add", "k8s");
    await etcd.etcdctl("user", "grant-role", "client", "k8s");
    await etcd.etcdctl("auth", "enable");
    await isRefused(etcd.config(), /does not let us read and write our keys/);
    for (const prefix of ["/registry/", "compact_rev_key", "k8sd/"]) {
      await etcd.etcdctl("role", "grant-permission", "k8s", "--prefix=true", "readwrite", prefix);
    }
    await isRefused(etcd.config(), /does not let us compact/);
    expect(await etcd.ours()).toBe(0);
  });

  test("to it keeps every acknowledged write, and works with less permission afterwards", async () => {
    await etcd.etcdctl("user", "grant-role", "client", "root");
    const content = await contentHash(host);
    const writing = await write(host);
    const { pauseMs, steps } = await migrates(host, "external", etcd.config());
    console.info(`sqlite to an external etcd: writes paused for ${pauseMs} ms, 10,000 keys\n${steps}`);
    await etcd.etcdctl("user", "revoke-role", "client", "root");
    expect(await writing.ends(etcd.etcdctl)).toBeGreaterThan(10);
    await isAt(host, "theirs", etcd);
    expect(await etcd.contentHash()).toBe(content);
    await etcd.theirsIsUntouched();
    const key = (await host.readFile("/their-etcd/client.key")).split("\n")[1] ?? "";
    expect((await k8s(host, ["datastore", "status"])).stdout).not.toContain(key);
  });

  test.each(["sqlite", "etcd"] as const)("from it to %s reads this cluster's keys alone", async (to) => {
    const content = await etcd.contentHash();
    const { pauseMs, steps } = await migrates(host, to);
    console.info(`an external etcd to ${to}: writes paused for ${pauseMs} ms, 10,000 keys\n${steps}`);
    await isOn(host, to);
    expect(await contentHash(host)).toBe(content);
    await etcd.theirsIsUntouched();
    // What a cluster left is its owner's to delete.
    expect(await etcd.ours()).toBeGreaterThan(10_000);
    const again = await migrate(host, "external", etcd.config());
    expect(again).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("is not empty") });
    await etcd.anew();
    await migrates(host, "external", etcd.config());
    await isAt(host, "theirs", etcd);
    expect(await etcd.contentHash()).toBe(content);
  });

  test("one whose revision is out of reach is refused with what makes another", async () => {
    await migrates(host, "etcd");
    await etcd.anew({ low: true });
    const { exitCode, stderr } = await migrate(host, "external", etcd.config());
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringMatching(/revision is \d+ below the source's[\s\S]*--bump-revision/),
    ]);
    await isOn(host, "etcd");
  });
});

describe.skipIf(reason !== undefined)("Kubernetes of a cluster that moves to an etcd of somebody else and back", () => {
  let host: Host;
  let etcd: TheirEtcd;
  let underLoad: UnderLoad;
  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests(), env: faultEnvironment });
    etcd = await startTheirEtcd(host);
    await bootstrap(host, "cluster-config:\n  network:\n    enabled: true\n");
    await becomesReady(host, "120s");
    underLoad = await createLoad(host);
  });
  afterAll(() => host?.[Symbol.asyncDispose]());
  afterEach(({ task }) => {
    if (task.result?.state === "fail") host.markFailed();
  });

  async function movesUnderLoad(to: "external" | "sqlite" | "etcd", given?: string): Promise<void> {
    await underLoad(async () => {
      const { pauseMs, steps } = await migrates(host, to, given);
      console.info(`Kubernetes to ${to}: writes paused for ${pauseMs} ms\n${steps}`);
    });
    await becomesReady(host, "120s");
  }

  test("goes on as before when all is taken back in the pause", async () => {
    const points = createFaultPoints(host);
    const { steps } = migrationBetween("sqlite", "theirs", true);
    const finish = steps.findIndex(({ kind }) => kind === "finish-copy");
    const stopTime = () => host.run("systemctl", "show", "--property=TimeoutStopUSec", "k8s-kube-apiserver");
    const { stdout: before } = await stopTime();
    await points.fail(finish, "after-run");
    await underLoad(async () => {
      expect(await migrate(host, "external", etcd.config())).toMatchObject({ exitCode: 1 });
    });
    await points.clear();
    await isOn(host, "sqlite");
    expect(await etcd.ours()).toBe(0);
    // It was given less time to stop.
    expect((await stopTime()).stdout).toBe(before);
  });

  test("to one with a low revision, which is raised first", async () => {
    await etcd.anew({ low: true });
    await movesUnderLoad("external", etcd.config());
    await isAt(host, "theirs", etcd);
  });

  test.each(["sqlite", "etcd"] as const)("back to %s, whose own certificates are made", async (to) => {
    await movesUnderLoad(to);
    await isOn(host, to);
    await etcd.theirsIsUntouched();
    await etcd.anew();
    await movesUnderLoad("external", etcd.config());
    await isAt(host, "theirs", etcd);
  });
});
