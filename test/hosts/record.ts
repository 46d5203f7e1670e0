import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { HostCgroup } from "./cgroups.ts";
import type { Bind } from "./types.ts";

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessId {
  readonly pid: number;
  readonly started: string;
}

interface CommonRecord {
  readonly name: string;
  /** Once this process is gone, whatever the record describes is stale, unless it is persistent or was kept. */
  readonly owner: ProcessId;
  /** Namespaces and process numbers of an earlier boot of the machine mean nothing. */
  readonly bootId: string;
  readonly persistent: boolean;
  readonly kept: boolean;
  readonly netns: string;
}

export interface HostRecord extends CommonRecord {
  readonly kind: "host";
  readonly systemd: boolean;
  readonly networkDir: string;
  /** The network was made for this host alone. */
  readonly ownsNetwork: boolean;
  readonly address: string;
  readonly cgroups: readonly HostCgroup[];
  readonly usrLayers: readonly string[];
  readonly binds: readonly Bind[];
  readonly memoryMaxBytes?: number;
}

export interface NetworkRecord extends CommonRecord {
  readonly kind: "network";
  readonly ipv4Subnet: string;
  readonly ipv6Subnet?: string;
  readonly toolsDir?: string;
}

export type StateRecord = HostRecord | NetworkRecord;

export interface State<R extends StateRecord = StateRecord> {
  readonly dir: string;
  readonly record: R;
}

const persistentRun = "persistent";

export function baseDir(): string {
  return join(process.env.TMPDIR ?? "/var/tmp", "k8sd-hosts");
}

/** Records tell root what to kill and remove, so they must be root's own. */
function ownsBase(): boolean {
  const owner = statSync(baseDir(), { throwIfNoEntry: false })?.uid;
  if (owner === undefined || owner === process.getuid?.()) return owner !== undefined;
  throw new Error(`cannot use ${baseDir()}: it belongs to user ${owner}; remove it, or set TMPDIR to another place`);
}

export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

export function processId(pid: number): ProcessId | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : { pid, started: fields[19] ?? "" };
  } catch {
    return undefined; // gone
  }
}

export function isAlive(id: ProcessId): boolean {
  return processId(id.pid)?.started === id.started;
}

/** Reads a file of the form "PID START" and answers with the process if that very one still runs. */
export function livingProcess(file: string): ProcessId | undefined {
  if (!existsSync(file)) return undefined;
  const [pid = "", started = ""] = readFileSync(file, "utf8").trim().split(" ");
  const id = { pid: Number(pid), started };
  return isAlive(id) ? id : undefined;
}

export function thisProcess(): ProcessId {
  const id = processId(process.pid);
  if (id === undefined) throw new Error("cannot read /proc/self/stat: is /proc mounted?");
  return id;
}

/** The same for all hosts of this process, different for every other one; short enough to be part of names. */
function runId(persistent: boolean): string {
  if (persistent) return persistentRun;
  const { pid, started } = thisProcess();
  return `${pid.toString(36)}-${Number(started).toString(36)}`;
}

/** Takes a directory nobody else has: the name itself, or for a name already taken in this run, name-2, name-3, … */
export function claimStateDir(name: string, persistent: boolean): { dir: string; label: string } {
  if (!/^[a-z0-9][a-z0-9.-]{0,62}$/i.test(name))
    throw new Error(`cannot name a host "${name}": letters, digits, - and . only`);
  const run = runId(persistent);
  mkdirSync(join(baseDir(), run), { recursive: true, mode: 0o700 });
  // Namespaces and cgroups have one list of names for the whole machine, state directories one per TMPDIR.
  const place = createHash("sha256").update(baseDir()).digest("hex").slice(0, 6);
  for (let attempt = 1; ; attempt++) {
    const unique = attempt === 1 ? name : `${name}-${attempt}`;
    const dir = join(baseDir(), run, unique);
    try {
      mkdirSync(dir);
      return { dir, label: `${place}.${run}.${unique}` };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" && attempt < 100) {
        mkdirSync(join(baseDir(), run), { recursive: true }); // the run's last host went at this very moment
        continue;
      }
      if (code !== "EEXIST") throw error;
      if (persistent) throw new Error(`cannot create ${name}: it exists; find it with findHost, or stop it first`);
    }
  }
}

export function writeRecord(dir: string, record: StateRecord): void {
  const file = join(dir, "record.json");
  writeFileSync(`${file}.new`, JSON.stringify(record, undefined, 2));
  renameSync(`${file}.new`, file);
}

export function readRecord(dir: string): StateRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(dir, "record.json"), "utf8")) as StateRecord;
  } catch {
    return undefined; // just claimed, or being removed
  }
}

export function listStates(): State[] {
  const subdirs = (dir: string) => {
    try {
      return readdirSync(dir, { withFileTypes: true }).flatMap((each) =>
        each.isDirectory() ? [join(dir, each.name)] : [],
      );
    } catch {
      return []; // nothing was ever made, or another process just removed it
    }
  };
  return (ownsBase() ? subdirs(baseDir()) : []).flatMap(subdirs).flatMap((dir) => {
    const record = readRecord(dir);
    return record === undefined ? [] : [{ dir, record }];
  });
}

export function isHostState(state: State): state is State<HostRecord> {
  return state.record.kind === "host";
}

/** Directories whose maker died before it could write the record. */
export function listAbandonedDirs(): string[] {
  const tenMinutesAgo = Date.now() - 600_000;
  const runs = ownsBase() ? readdirSync(baseDir()) : [];
  return runs
    .flatMap((run) => readdirSync(join(baseDir(), run)).map((name) => join(baseDir(), run, name)))
    .filter(
      (dir) =>
        readRecord(dir) === undefined &&
        (statSync(dir, { throwIfNoEntry: false })?.mtimeMs ?? Infinity) < tenMinutesAgo,
    );
}

export function isStale(record: StateRecord): boolean {
  if (record.persistent) return false;
  if (record.bootId !== bootId()) return true;
  return !record.kept && !isAlive(record.owner);
}

/** Removes a state directory, and its run's directory with the last one in it. */
export async function removeStateDir(dir: string): Promise<void> {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  if (mounts.includes(` ${dir}/`))
    throw new Error(`cannot remove ${dir}: something is mounted in it; unmount it first`);
  await rm(dir, { recursive: true, force: true, maxRetries: 3 });
  await rmdir(join(dir, "..")).catch(() => {}); // other hosts of the run are still there
}
