import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bootstrap, daemonState, k8s } from "../../expect-node.ts";
import { createFaultPoints, faultEnvironment } from "../../faults/points.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import { scanHost } from "../../hosts/scan.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { callDaemon, createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { fill, isOn, migrate, migrates, migratesUnderLoad, peerPortTaken, stepOf } from "./engines.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("a cluster without Kubernetes whose datastore moves", () => {
  let host: Host;
  let before: HostSnapshot;

  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests(), flags: ["--agent-only"], env: faultEnvironment });
    before = await host.snapshot();
    await bootstrap(host);
    await fill(host, 500);
  });
  afterAll(async () => {
    await host?.[Symbol.asyncDispose]();
  });

  test.each(["etcd", "sqlite"] as const)("to %s keeps every acknowledged write, and the metrics follow", async (to) => {
    await migratesUnderLoad(host, to);
    const user = { username: "prometheus", groups: ["system:monitoring"] };
    const { metadata } = await callDaemon(host, "POST", "/1.0/kubernetes/auth/tokens", user);
    const { token } = metadata as { readonly token: string };
    const trust = ["--cacert", "/var/snap/k8s/common/var/lib/k8sd/state/cluster.crt"];
    const there = ["--connect-to", `localhost:6400:${host.address}:6400`, "https://localhost:6400/metrics"];
    const header = ["-H", `Authorization: Bearer ${token}`];
    const { stdout } = await host.run("curl", "-sS", "--max-time", "60", ...trust, ...header, ...there);
    expect(stdout).toContain(`\nk8sd_datastore_up{engine="${to}"} 1\n`);
    expect(stdout).toMatch(/^k8sd_datastore_member_leader\{member="[^"]+"\} 1$/m);
    expect(/^etcd_server_has_leader 1$/m.test(stdout)).toBe(to === "etcd");
  });

  test("says where it stands while writes are paused", async () => {
    const points = createFaultPoints(host);
    await points.hold(stepOf("finish-copy"), "in-run");
    const running = migrate(host, "etcd");
    await points.reached(stepOf("finish-copy"), "in-run");
    const shown = await k8s(host, ["datastore", "status"]);
    const status = await k8s(host, ["status"]);
    await points.clear();
    expect(await running).toMatchObject({ exitCode: 0 });
    await migrates(host, "sqlite");
    expect(shown.stdout).toMatch(/^state: +it is moving, and answers again in a moment$/m);
    expect(status.stdout).toContain("it is moving, and answers again in a moment");
    expect(shown.stdout).toMatch(/^migration: +step 4 of 10, /m);
  });

  test("to the engine that it has is refused", async () => {
    const { exitCode, stderr } = await migrate(host, "sqlite");
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining("it is sqlite already")]);
  });

  test("is refused with all that speaks against it, and nothing is changed", async () => {
    await host.run("mkdir", "-p", "/var/snap/k8s/common/var/lib/etcd/data/mine");
    const taken = await peerPortTaken(host);
    const { exitCode, stderr } = await migrate(host, "etcd");
    await taken[Symbol.asyncDispose]();
    expect(exitCode).toBe(1);
    expect(stderr).toContain("var/lib/etcd/data is not empty: it holds mine");
    expect(stderr).toContain("port 2380 (needed by: etcd) is already in use");
    await host.run("rm", "-r", "/var/snap/k8s/common/var/lib/etcd");
    await isOn(host, "sqlite");
  });

  test("is left behind whole, on whichever engine it is then", async () => {
    await migrates(host, "etcd");
    const { exitCode, stderr } = await k8s(host, ["leave", "--force"]);
    expect(exitCode, stderr).toBe(0);
    const left = await scanHost(host, before);
    expect(left.filter((line) => !daemonState.test(line) && !line.includes("/var/tmp/"))).toEqual([]);
  });
});
