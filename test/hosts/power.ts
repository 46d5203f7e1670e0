import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, copyFileSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeCgroups, removeCgroups, setFrozen } from "./cgroups.ts";
import { exec, killGroup, tryExec } from "./exec.ts";
import type { Network } from "./network.ts";
import { type HostRecord, isAlive, livingProcess, type ProcessId } from "./record.ts";
import { until } from "./until.ts";

// What systemd takes as "power off": SIGRTMIN+4.
const powerOffSignal = 38;

/** The host's first process, while the host is on. */
export function initOf(dir: string): ProcessId | undefined {
  return livingProcess(join(dir, "init.pid"));
}

export async function bootHost(dir: string, record: HostRecord, network: Network, signal?: AbortSignal): Promise<void> {
  if (initOf(dir) !== undefined) return;
  await clearPower(dir, record); // what a crash or a power-off from within left behind
  const list = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join("");
  writeFileSync(join(dir, "cgroups"), list(record.cgroups.map((each) => `${each.controllers}\t${each.dir}`)));
  writeFileSync(join(dir, "layers"), list(record.usrLayers));
  writeFileSync(
    join(dir, "binds"),
    list(record.binds.map((each) => `${each.readOnly ? "ro" : "rw"}\t${each.from}\t${each.to}`)),
  );
  copyFileSync(join(import.meta.dirname, "enter.sh"), join(dir, "enter"));
  await Promise.all([
    makeCgroups(record.cgroups, record.memoryMaxBytes),
    exec("ip", ["netns", "add", record.netns]).then(() => network.plug(network.at(record.address), record.netns)),
  ]);
  const init = startInit(dir, record);
  try {
    await waitUntilUp(dir, record, signal);
  } catch (error) {
    killGroup(init); // takes its child with it, however far the boot came
    throw error;
  }
}

function startInit(dir: string, record: HostRecord): ChildProcess {
  const log = openSync(join(dir, "boot.log"), "w");
  const script = join(import.meta.dirname, "boot.sh");
  const init = record.systemd ? "systemd" : "sleep";
  const argv = [script, "outside", dir, record.name, init, record.netns];
  const child = spawn("sh", argv, { detached: true, stdio: ["ignore", log, log] });
  child.once("error", () => {}); // seen by waitUntilUp, which finds no first process
  closeSync(log);
  child.unref();
  return child;
}

async function waitUntilUp(dir: string, record: HostRecord, signal: AbortSignal | undefined): Promise<void> {
  const limits = { timeoutMs: 60_000, ...(signal === undefined ? {} : { signal }) };
  const explain = (error: unknown) =>
    new Error(`cannot boot host ${record.name}\n${readFileSync(join(dir, "boot.log"), "utf8")}`.trimEnd(), {
      cause: error,
    });
  try {
    await until(() => existsSync(join(dir, "init.pid")), { ...limits, what: "the first process of the host" });
    const isUp = () => {
      const init = initOf(dir);
      if (init === undefined) throw new Error("its first process ended");
      // Before the name changes the process still is the shell that builds the file system.
      const name = readFileSync(`/proc/${init.pid}/comm`, "utf8").trim();
      if (!record.systemd) return name === "sleep";
      return name === "systemd" && existsSync(`/proc/${init.pid}/root/run/systemd/private`);
    };
    await until(isUp, { ...limits, what: record.systemd ? "systemd to listen" : "the host's file system" });
  } catch (error) {
    throw explain(error);
  }
  if (!record.systemd) return;
  const options = { timeoutMs: 60_000, ...(signal === undefined ? {} : { signal }) };
  const state = await tryExec(join(dir, "enter"), ["systemctl", "is-system-running", "--wait"], options);
  if (state.stdout.trim() === "running") return;
  const failed = await tryExec(
    join(dir, "enter"),
    ["systemctl", "list-units", "--failed", "--no-legend", "--plain"],
    options,
  );
  throw explain(new Error(`systemd says "${state.stdout.trim()}"; failed units:\n${failed.stdout}${state.stderr}`));
}

export async function cutPower(dir: string, record: HostRecord): Promise<void> {
  const init = initOf(dir);
  if (init !== undefined) {
    process.kill(init.pid, "SIGKILL");
    await waitUntilOff(init, record, 10_000);
  }
  await clearPower(dir, record);
}

export async function powerOff(dir: string, record: HostRecord): Promise<void> {
  const init = initOf(dir);
  if (init === undefined) return clearPower(dir, record);
  if (!record.systemd) {
    await tryExec(join(dir, "enter"), ["sh", "-c", "trap '' TERM; kill -TERM -1; sleep 0.2"]);
    return cutPower(dir, record);
  }
  process.kill(init.pid, powerOffSignal);
  await waitUntilOff(init, record, 60_000);
  await clearPower(dir, record);
}

async function waitUntilOff(init: ProcessId, record: HostRecord, timeoutMs: number): Promise<void> {
  await until(() => !isAlive(init), { what: `host ${record.name} to be off`, timeoutMs, everyMs: 5 });
}

/** Takes away what only a running host has: its network namespace with all rules and interfaces in it, its cgroups. */
async function clearPower(dir: string, record: HostRecord): Promise<void> {
  rmSync(join(dir, "init.pid"), { force: true });
  rmSync(join(dir, "env"), { force: true });
  if (existsSync(`/run/netns/${record.netns}`)) await exec("ip", ["netns", "del", record.netns]);
  await removeCgroups(record.cgroups);
}

export async function freezeHost(dir: string, record: HostRecord, frozen: boolean): Promise<void> {
  if (initOf(dir) === undefined) throw new Error(`cannot ${frozen ? "freeze" : "thaw"} host ${record.name}: it is off`);
  await setFrozen(record.cgroups, frozen);
}
