import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bootstrap, daemonState, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import { killGroup } from "../../hosts/exec.ts";
import { scanHost } from "../../hosts/scan.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { contentHash, fill, isOn, migrate, migrates, other, report, write } from "./engines.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** The goal for 10,000 keys on a machine with nothing else to do. */
const longestPauseMs = 3_000;
const keys = 10_000;

describe.skipIf(reason !== undefined)("a cluster without Kubernetes whose datastore moves", () => {
  let host: Host;
  let before: HostSnapshot;

  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests(), flags: ["--agent-only"] });
    before = await host.snapshot();
    await bootstrap(host);
    await fill(host, keys);
  });
  afterAll(async () => {
    await host?.[Symbol.asyncDispose]();
  });

  test.each(["etcd", "sqlite"] as const)(
    "to %s keeps every acknowledged write, and pauses writes briefly",
    async (to) => {
      await isOn(host, other(to));
      const content = await contentHash(host);
      const { revision: seen = 0 } = await report(host);
      const writing = await write(host);
      const { pauseMs, steps } = await migrates(host, to);
      const writes = await writing.ends();
      console.info(`to ${to}: writes paused for ${pauseMs} ms, ${writes} writes by a client\n${steps}`);
      expect(writes).toBeGreaterThan(10);
      expect(pauseMs).toBeLessThan(process.env.K8SD_STRICT_TIMES === undefined ? 10 * longestPauseMs : longestPauseMs);
      expect(await contentHash(host)).toBe(content);
      await isOn(host, to);
      expect((await report(host)).revision).toBeGreaterThan(seen);
    },
  );

  test("to the engine that it has is refused", async () => {
    const { exitCode, stderr } = await migrate(host, "sqlite");
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining("it is sqlite already")]);
  });

  test("is refused with all that speaks against it, and nothing is changed", async () => {
    await host.run("mkdir", "-p", "/var/snap/k8s/common/var/lib/etcd/data/mine");
    const listener = host.spawn(["python3", "-m", "http.server", "2380"]);
    const taken = () => host.tryRun(["curl", "-s", "-o", "/dev/null", "http://127.0.0.1:2380/"]);
    await expect.poll(async () => (await taken()).exitCode).toBe(0);
    const { exitCode, stderr } = await migrate(host, "etcd");
    killGroup(listener);
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
