import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exec, tryExec } from "./exec.ts";
import type { Fault } from "./faults.ts";
import { livingProcess, processId } from "./record.ts";
import { until } from "./until.ts";

// A delayed port is taken off the bridge. A pair of interfaces stands in for it there, and a helper process carries the
// frames between that pair and the port: bridge ─ d2 ═ e2 ─ helper ─ p2 ─ host.
const onBridge = (port: string) => port.replace("p", "d");
const atHelper = (port: string) => port.replace("p", "e");
const pidFile = (dir: string, port: string) => join(dir, `delay-${port}.pid`);

/** The names under which the bridge knows a port, delayed or not. */
export function bridgePorts(port: string): readonly string[] {
  return [port, onBridge(port)];
}

export async function startDelay(dir: string, netns: string, fault: Extract<Fault, { kind: "delay" }>): Promise<void> {
  const { port, ms, jitterMs } = fault;
  await stopDelay(dir, netns, port);
  const commands = [
    `link set ${port} nomaster arp off`, // the switch itself must not answer on it
    `link add ${atHelper(port)} type veth peer name ${onBridge(port)}`,
    `link set ${atHelper(port)} arp off up`,
    `link set ${onBridge(port)} master br0 up`,
  ];
  await exec("ip", ["-n", netns, "-batch", "-"], { stdin: commands.join("\n") });
  const log = join(dir, `delay-${port}.log`);
  const output = openSync(log, "w");
  const script = join(import.meta.dirname, "delay.pl");
  const argv = [`--net=/run/netns/${netns}`, "--", "perl", script, atHelper(port), port, ms, jitterMs].map(String);
  const child = spawn("nsenter", argv, { detached: true, stdio: ["ignore", output, output] });
  child.once("error", () => {}); // seen below, as a log without "ready"
  closeSync(output);
  child.unref();
  const id = processId(child.pid ?? 0);
  if (id !== undefined) writeFileSync(pidFile(dir, port), `${id.pid} ${id.started}`);
  const isReady = () => {
    const said = readFileSync(log, "utf8");
    if (said.includes("ready")) return true;
    if (child.pid !== undefined && child.exitCode === null) return false;
    throw new Error(`cannot delay packets: the helper ended (perl with Time::HiRes is needed)\n${said}`);
  };
  await until(isReady, { what: "the delay helper", timeoutMs: 10_000 });
}

/** Puts a port back on the bridge. Right also when there was no delay, or when the host's end of the port is gone. */
export async function stopDelay(dir: string, netns: string, port: string): Promise<void> {
  killHelper(dir, port);
  const pair = await tryExec("ip", ["-n", netns, "link", "del", onBridge(port)]);
  if (pair.exitCode === 0) await tryExec("ip", ["-n", netns, "link", "set", port, "arp", "on", "master", "br0"]);
}

function killHelper(dir: string, port: string): void {
  const helper = livingProcess(pidFile(dir, port));
  if (helper !== undefined) process.kill(helper.pid, "SIGKILL");
  rmSync(pidFile(dir, port), { force: true });
}

export function killHelpers(dir: string): void {
  for (const file of readdirSync(dir)) {
    const port = /^delay-(.*)\.pid$/.exec(file)?.[1];
    if (port !== undefined) killHelper(dir, port);
  }
}
