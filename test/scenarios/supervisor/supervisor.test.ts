import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { agentLog, startAgent } from "../../agents.ts";
import { k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import { createHost } from "../../hosts/host.ts";
import { scanHost } from "../../hosts/scan.ts";
import type { Host } from "../../hosts/types.ts";
import { waitForDaemon } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const state = "/var/snap/k8s/common";
const record = `${state}/lock/processes/k8s-datastore`;

describe.skipIf(reason !== undefined)("k8sd without systemd", () => {
  let host: Host;
  let daemon: string;
  beforeAll(async () => {
    const staged = await stagedForTests();
    host = await createHost({
      systemd: false,
      usrLayers: staged.usrLayers,
      binds: [{ from: staged.snap, to: "/snap/k8s/current", readOnly: true }],
    });
    daemon = await startAgent(host);
  });
  afterAll(() => host?.[Symbol.asyncDispose]());

  async function bootstrap(): Promise<void> {
    const { exitCode, stderr } = await k8s(host, ["bootstrap", "--address", host.address]);
    if (exitCode !== 0) throw new Error(`${stderr}\n${await host.readFile(agentLog)}`);
  }

  async function becomesReady(): Promise<void> {
    const { stdout, stderr } = await k8s(host, ["status", "--wait-ready", "--timeout", "20s"]);
    if (!/^cluster status: +ready\n/.test(stdout))
      throw new Error(`${stdout}${stderr}\n${await host.readFile(agentLog)}`);
  }

  /** Process id of the datastore as the supervisor recorded it. */
  async function datastore(): Promise<string> {
    const { stdout } = await host.tryRun(["sh", "-c", `cut -d ' ' -f 1 ${record} | tail -n 1`]);
    return stdout.trim();
  }
  /** Nothing reaps orphans in such a host: a zombie has ended. */
  const lives = async (pid: string): Promise<boolean> => {
    const { stdout } = await host.tryRun(["sh", "-c", `sed 's/.*) //' /proc/${pid}/stat 2>/dev/null`]);
    return /^[^Z]/.test(stdout);
  };
  const ends = (pid: string) => expect.poll(() => lives(pid), { timeout: 15_000, interval: 100 }).toBe(false);

  test("bootstraps and becomes ready", async () => {
    await bootstrap();
    await becomesReady();
    const { stdout } = await k8s(host, ["status"]);
    expect(stdout).toContain("datastore:                sqlite");
    expect(await lives(await datastore())).toBe(true);
  });

  test("a datastore that is killed comes back", async () => {
    const killed = await datastore();
    await host.run("kill", "-9", killed);
    await ends(killed);
    await expect.poll(datastore, { timeout: 15_000, interval: 100 }).not.toBe(killed);
    await becomesReady();
  });

  test("k8sd that is killed finds its children again", async () => {
    const running = await datastore();
    await host.run("kill", "-9", daemon);
    await ends(daemon);
    expect(await lives(running)).toBe(true);
    daemon = await startAgent(host);
    await becomesReady();
    expect(await datastore()).toBe(running);
    expect(await host.readFile(agentLog)).toContain("Took over a running service");
  });

  test("an adopted datastore that is killed comes back", async () => {
    const killed = await datastore();
    await host.run("kill", "-9", killed);
    await ends(killed);
    await expect.poll(datastore, { timeout: 15_000, interval: 100 }).not.toBe(killed);
    await becomesReady();
  });

  test("killed with all its children, it starts them again", async () => {
    const killed = await datastore();
    await host.run("kill", "-9", daemon, killed);
    await ends(daemon);
    await ends(killed);
    daemon = await startAgent(host);
    await becomesReady();
    expect(await datastore()).not.toBe(killed);
  });

  test("an orderly stop leaves the services to the next start", async () => {
    const running = await datastore();
    await host.run("kill", "-TERM", daemon);
    await ends(daemon);
    expect(await lives(running)).toBe(true);
    daemon = await startAgent(host);
    await becomesReady();
    expect(await datastore()).toBe(running);
  });

  test("comes back after a power cut", async () => {
    const { stdout: name } = await k8s(host, ["local-node-status", "--output-format", "json"]);
    await host.cutPower();
    await host.boot();
    daemon = await startAgent(host);
    await becomesReady();
    expect((await k8s(host, ["local-node-status", "--output-format", "json"])).stdout).toBe(name);
  });
});

describe.skipIf(reason !== undefined)("k8sd that is not root", () => {
  test("refuses to bootstrap, says why, and leaves nothing", async () => {
    const staged = await stagedForTests();
    await using host = await createHost({
      systemd: false,
      usrLayers: staged.usrLayers,
      binds: [{ from: staged.snap, to: "/snap/k8s/current", readOnly: true }],
    });
    await host.run("sh", "-c", `mkdir -p ${state} && chown 65534 ${state}`);
    const command = "setpriv --reuid=65534 --clear-groups k8sd --service-manager supervisor --agent-only";
    await host.run("sh", "-c", `setsid ${command} >>${agentLog} 2>&1 </dev/null & echo $!`);
    await waitForDaemon(host);
    const before = await host.snapshot();
    const { exitCode, stderr } = await k8s(host, ["bootstrap", "--address", host.address]);
    expect(stderr).toContain("the daemon runs as user 65534, not as root");
    expect(stderr).toContain("Start it as root.");
    expect(exitCode).toBe(1);
    expect((await scanHost(host, before)).filter((line) => !line.includes("/k8sd/state/"))).toEqual([]);
  });
});
