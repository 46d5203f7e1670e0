import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, type ExecOptions, exec, start, succeeded, tryExec } from "./exec.ts";
import type { Fault } from "./faults.ts";
import { keepFromEnvironment, whenTestFinishes } from "./keep.ts";
import type { Network } from "./network.ts";
import { bootHost, cutPower, freezeHost, initOf, powerOff } from "./power.ts";
import { type HostRecord, readRecord, removeStateDir, writeRecord } from "./record.ts";
import { takeSnapshot } from "./scan.ts";
import type { Host, Keep } from "./types.ts";

/** The handle of a host whose state directory exists. */
export async function openHost(dir: string, record: HostRecord, network: Network, keep?: Keep): Promise<Host> {
  const root = join(dir, "root");
  const enter = join(dir, "enter");
  const own = network.at(record.address);
  let failed = false;
  const tryRun = (argv: readonly string[], options: ExecOptions = {}) => {
    const { env, ...rest } = options;
    return tryExec(enter, [...assignments(env), ...argv], rest);
  };
  const run = async (...argv: string[]) =>
    succeeded(`${record.name}: ${describe(argv[0] ?? "", argv.slice(1))}`, await tryRun(argv));
  const fault = (request: Fault) => network.addFault(request);
  let destroyed: Promise<void> | undefined;
  const destroy = () => {
    destroyed ??= destroyHost(dir, record, network); // once: another host may have its address by then
    return destroyed;
  };
  const retain = () => {
    writeRecord(dir, { ...record, kept: true });
    console.error(
      `Host ${record.name} is kept. Enter it: ${enter}   Remove it: node -C source test/hosts/main.ts stop ${record.name}`,
    );
  };
  const onDispose = record.persistent
    ? async () => {}
    : await whenTestFinishes(keep ?? keepFromEnvironment(), destroy, retain, () => failed);
  return {
    name: record.name,
    address: own.ipv4,
    ipv6Address: own.ipv6,
    network,
    root,
    enter,
    get isOn() {
      return initOf(dir) !== undefined;
    },
    run,
    tryRun,
    spawn: (argv, options) => start(enter, [...assignments(options?.env), ...argv]),
    async writeFile(path, content, mode = 0o644) {
      if (initOf(dir) === undefined) return writeOnDisk(root, path, content, mode);
      const script = 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod "$2" "$1"';
      const argv = ["sh", "-c", script, "sh", path, mode.toString(8)];
      succeeded(`${record.name}: writing ${path}`, await tryRun(argv, { stdin: content }));
    },
    async readFile(path) {
      if (initOf(dir) === undefined) return readFileSync(onDisk(root, path), "utf8");
      return (await run("cat", path)).stdout;
    },
    journal: (unit) => readJournal(dir, record, tryRun, unit),
    powerOff: () => powerOff(dir, record),
    cutPower: () => cutPower(dir, record),
    boot: () => bootHost(dir, record, network),
    freeze: () => freezeHost(dir, record, true),
    thaw: () => freezeHost(dir, record, false),
    partition: (kind = "both") => fault({ kind: "partition", port: own.port, direction: kind }),
    partitionFrom: (other) => {
      if (other.network.dir !== network.dir)
        throw new Error(`cannot part ${record.name} from ${other.name}: they are on different networks`);
      return fault({ kind: "pair", port: own.port, other: network.at(other.address).port });
    },
    loss: (percent) => fault({ kind: "loss", port: own.port, percent }),
    delay: (ms, jitterMs = 0) => fault({ kind: "delay", port: own.port, ms, jitterMs }),
    heal: () => network.removeFaults(own.port),
    clockSkew: (seconds, programs = ["node"]) => skewClock(dir, record, run, seconds, programs),
    snapshot: () => takeSnapshot(tryRun),
    markFailed() {
      failed = true;
    },
    destroy,
    [Symbol.asyncDispose]: onDispose,
  };
}

function assignments(env: ExecOptions["env"] = {}): string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`);
}

/** A path of a host that is off. Links could lead out of the host's disk, so none is followed. */
function onDisk(root: string, path: string): string {
  const file = join(root, path);
  let existing = dirname(file);
  while (!existsSync(existing)) existing = dirname(existing);
  const isLink = lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
  if (isLink || realpathSync(existing) !== existing)
    throw new Error(`cannot reach ${path} while the host is off: it leads through a link`);
  return file;
}

function writeOnDisk(root: string, path: string, content: string | Uint8Array, mode: number): void {
  const file = onDisk(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
}

async function readJournal(dir: string, record: HostRecord, tryRun: Host["tryRun"], unit: string): Promise<string> {
  if (!record.systemd) throw new Error(`cannot read the journal of ${record.name}: it has no systemd`);
  if (initOf(dir) !== undefined) await tryRun(["journalctl", "--sync"]);
  const argv = ["-D", join(dir, "root/var/log/journal"), "-u", unit, "--no-pager", "-o", "short-iso"];
  return (await exec("journalctl", argv)).stdout;
}

async function skewClock(
  dir: string,
  record: HostRecord,
  run: Host["run"],
  seconds: number,
  programs: readonly string[],
): Promise<void> {
  const find = await run("sh", "-c", "ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null || true");
  const library = find.stdout.trim().split("\n")[0];
  if (!library) throw new Error(`cannot move the clock of ${record.name}: no usr layer has libfaketime`);
  const env = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: "/run/clock-skew",
    FAKETIME_NO_CACHE: "1",
    FAKETIME_ONLY_CMDS: programs.join(","), // systemd's own programs do not stand it
    FAKETIME_DONT_FAKE_MONOTONIC: "1", // timers keep their pace
  };
  await run("sh", "-c", 'printf "%+d" "$1" > /run/clock-skew', "sh", String(Math.round(seconds)));
  if (record.systemd) await run("systemctl", "set-environment", ...assignments(env));
  writeFileSync(
    join(dir, "env"),
    assignments(env)
      .map((line) => `${line}\n`)
      .join(""),
  );
}

/** Removes a host and, when it was made for it alone, its network. May be repeated, and raced by another process. */
export async function destroyHost(dir: string, record: HostRecord, network: Network | undefined): Promise<void> {
  if (initOf(dir) !== undefined) await freezeHost(dir, record, false).catch(() => {}); // it may just have ended
  await cutPower(dir, record);
  await removeStateDir(dir);
  if (network === undefined) return;
  if (record.ownsNetwork) return network.destroy();
  if (readRecord(network.dir) !== undefined) await network.release(record.address);
}
