import type { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostsUnavailable } from "./available.ts";
import { exec, killGroup, start, tryExec } from "./exec.ts";
import { createHost, findHost, sweep } from "./host.ts";
import { initOf } from "./power.ts";
import {
  baseDir,
  type HostRecord,
  isAlive,
  isHostState,
  listStates,
  type NetworkRecord,
  readRecord,
  type State,
} from "./record.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);
const here = import.meta.dirname;

/** Starts a process that makes a host with these options, and answers once the host is up. */
async function hostOfAnotherProcess(options: string) {
  const program = `const { createHost } = await import(${JSON.stringify(join(here, "host.ts"))});
    await createHost(${options}); console.log("up"); setInterval(() => {}, 1000);`;
  const child = start(process.execPath, ["-C", "source", "--input-type=module", "-e", program]);
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (data) => {
      output += data;
    });
  await expect.poll(() => output, { timeout: 20_000 }).toContain("up");
  return child;
}

function stateOf(name: string): State<HostRecord> {
  const state = listStates()
    .filter(isHostState)
    .find(({ record }) => record.name === name);
  if (state === undefined) throw new Error(`there is no host ${name}`);
  return state;
}

async function killed(child: ReturnType<typeof spawn>): Promise<void> {
  killGroup(child);
  await expect.poll(() => child.signalCode).toBe("SIGKILL");
}

function traces({ dir, record }: State<HostRecord>): string[] {
  const networks = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes(record.netns));
  return [dir, record.networkDir, ...record.cgroups.map((each) => each.dir)].filter(existsSync).concat(networks);
}

describe.skipIf(reason !== undefined)("hosts that nobody removed", () => {
  let base: string;
  const before = process.env.TMPDIR;
  beforeAll(async () => {
    base = await mkdtemp("/var/tmp/k8sd-sweep-test-"); // apart from the hosts of other test runs
    process.env.TMPDIR = base;
  });
  afterAll(async () => {
    await sweep(() => true);
    await rm(base, { recursive: true, force: true });
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  });

  it("are removed by the next one, once the process that made them was killed", async () => {
    const child = await hostOfAnotherProcess('{ name: "orphan" }');
    const state = stateOf("orphan");
    const init = initOf(state.dir);
    expect(init).toBeDefined();
    await sweep();
    expect(existsSync(state.dir)).toBe(true); // its owner lives
    await killed(child);
    await using next = await createHost({ name: "next", systemd: false });
    expect(traces(state)).toEqual([]);
    expect(init !== undefined && isAlive(init)).toBe(false);
    expect(next.isOn).toBe(true);
    expect(existsSync(join(baseDir(), state.dir.split("/").at(-2) ?? ""))).toBe(false);
  });

  it("are removed even when they were frozen, or half made", async () => {
    const child = await hostOfAnotherProcess('{ name: "frozen", systemd: false }');
    const state = stateOf("frozen");
    await (await findHost("frozen"))?.freeze();
    await killed(child);
    await rm(join(state.dir, "root"), { recursive: true });
    expect(await sweep()).toEqual(["host frozen", "network frozen-net"]);
    expect(traces(state)).toEqual([]);
  });

  it("stay when they are persistent, and are found again, on or off", async () => {
    const child = await hostOfAnotherProcess('{ name: "lasting", persistent: true }');
    await killed(child);
    await sweep();
    const host = await findHost("lasting");
    expect((await host?.run("systemctl", "is-system-running"))?.stdout).toBe("running\n");
    await host?.[Symbol.asyncDispose]();
    expect(host?.isOn).toBe(true);
    await host?.cutPower();
    const again = await findHost("lasting");
    expect(again?.isOn).toBe(false);
    await exec("ip", ["netns", "del", (readRecord(again?.network.dir ?? "") as NetworkRecord).netns]); // as a restart of the machine does
    await again?.boot();
    expect((await again?.run("hostname"))?.stdout).toBe("lasting\n");
    await expect(createHost({ name: "lasting", persistent: true })).rejects.toThrow(/it exists/);
    await again?.destroy();
    expect(await findHost("lasting")).toBeUndefined();
  });

  it("stay when they are kept, tell how to enter them, and go with clean", async () => {
    const host = await createHost({ name: "seen", systemd: false, keep: "always" });
    await host[Symbol.asyncDispose]();
    await sweep();
    const cli = (...argv: string[]) => tryExec(process.execPath, ["-C", "source", join(here, "main.ts"), ...argv]);
    expect((await cli("list")).stdout).toMatch(/^seen +on +10\.77\.0\.1 +kept/);
    expect((await exec(host.enter, ["hostname"])).stdout).toBe("seen\n");
    expect(await cli("enter", "seen", "sh", "-c", "hostname; exit 5")).toEqual({
      exitCode: 5,
      stdout: "seen\n",
      stderr: "",
    });
    expect((await cli("clean")).stdout).toContain("removed host seen");
    expect((await cli("list")).stdout).toBe("");
    expect(await cli("stop", "seen")).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("no such host") });
  });

  it("stay after a failure alone, when that is asked for", async () => {
    const good = await createHost({ name: "good", systemd: false, keep: "failure" });
    const bad = await createHost({ name: "bad", systemd: false, keep: "failure" });
    expect([good.isOn, bad.isOn]).toEqual([true, true]);
    await using stack = new AsyncDisposableStack();
    stack.use(good);
    stack.use(bad);
    bad.markFailed();
  });

  it("were kept by the test before this one for its failure alone", async () => {
    const names = listStates()
      .filter(isHostState)
      .map(({ record }) => [record.name, record.kept]);
    expect(names).toEqual([["bad", true]]);
  });
});
