import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, errorCode, errorText, isKind } from "../lib/app-error.ts";
import { readTextOrEmpty } from "../lib/read-file.ts";
import { orAborted, poll } from "../lib/wait.ts";
import type { Identity } from "./pebble-plan.ts";
import { resolveIdentity } from "./user-names.ts";

/** How a process ended; a process that was taken over from an earlier daemon tells only that it did. */
export type Exit = { readonly code: number } | { readonly signal: string } | "unknown";

/** A running process that leads its own group, so that it outlives the daemon and its children can be ended with it. */
export interface Process {
  readonly pid: number;
  /** Resolves when the process itself has ended; rejects only when the signal ends. */
  exit(signal: AbortSignal): Promise<Exit>;
}

export interface SpawnOptions {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly identity: Identity;
  /** Gets what the program prints. The program writes it itself, so that it does not need the daemon to live on. */
  readonly logPath: string;
  /** Gets who the process is, for a later daemon. */
  readonly recordPath: string;
}

/**
 * The process itself writes its record before it becomes the program: whenever the daemon is killed, either the record is
 * there or the program never ran. The record is the boot and the process's own line of /proc, whose start time tells it
 * from a later process with the same number.
 */
const recordAndBecome =
  'read -r boot </proc/sys/kernel/random/boot_id; read -r stat </proc/$$/stat; printf "%s\\n%s\\n" "$boot" "$stat" >&3; exec 3>&- "$@"';

/** How often a process that is not our child is looked at. */
const adoptedIntervalMs = 250;
/** After SIGKILL only a process that hangs in the kernel is still there. */
const afterKillMs = 5_000;

export async function spawnProcess(options: SpawnOptions): Promise<Process> {
  const { uid, gid } = await resolveIdentity(options.identity);
  await mkdir(dirname(options.logPath), { recursive: true, mode: 0o700 });
  await mkdir(dirname(options.recordPath), { recursive: true, mode: 0o700 });
  const log = await open(options.logPath, "a", 0o600);
  try {
    const record = await open(options.recordPath, "w", 0o600);
    try {
      const child = spawn("/bin/sh", ["-c", recordAndBecome, "sh", ...options.argv], {
        cwd: options.identity.workingDir,
        env: options.env,
        detached: true,
        stdio: ["ignore", log.fd, log.fd, record.fd],
        ...(uid === undefined ? {} : { uid }),
        ...(gid === undefined ? {} : { gid }),
      });
      return await started(child, options);
    } finally {
      await record.close();
    }
  } finally {
    await log.close();
  }
}

async function started(child: ChildProcess, { argv }: SpawnOptions): Promise<Process> {
  const ended = new Promise<Exit>((resolve) => {
    child.once("exit", (code, signal) => resolve(code === null ? { signal: signal ?? "SIGKILL" } : { code }));
  });
  try {
    await once(child, "spawn");
  } catch (error) {
    throw new AppError("internal", `cannot run ${argv[0]}: ${errorText(error)}`, { cause: error });
  }
  // The daemon may end while its services run.
  child.unref();
  const pid = child.pid;
  if (pid === undefined) throw new Error("a process that was spawned has no number");
  return { pid, exit: (signal) => orAborted(ended, signal) };
}

/** The process of a record when it still runs. */
export async function findProcess(recordPath: string): Promise<Process | undefined> {
  const [boot = "", recorded = ""] = (await readTextOrEmpty(recordPath)).split("\n");
  const wanted = parseStat(recorded);
  if (wanted === undefined || boot !== (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim())
    return undefined;
  const alive = async (): Promise<boolean> => {
    const now = parseStat(await readTextOrEmpty(`/proc/${wanted.pid}/stat`).catch(() => ""));
    return now !== undefined && now.startTime === wanted.startTime && now.state !== "Z";
  };
  if (!(await alive())) return undefined;
  return {
    pid: wanted.pid,
    async exit(signal) {
      return poll(async () => ((await alive()) ? undefined : ("unknown" as const)), {
        what: "see the process end",
        deadlineMs: 2 ** 31 - 1,
        intervalMs: adoptedIntervalMs,
        signal,
      });
    },
  };
}

interface Stat {
  readonly pid: number;
  readonly state: string;
  readonly group: number;
  readonly startTime: string;
}

/** proc(5): number, name in parentheses (which may hold anything), state, parent, group, …; the start time is field 22. */
function parseStat(line: string): Stat | undefined {
  const pid = Number.parseInt(line, 10);
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const [state, group, startTime] = [fields[0], Number(fields[2]), fields[19]];
  return Number.isNaN(pid) || state === undefined || startTime === undefined
    ? undefined
    : { pid, state, group, startTime };
}

/** Ends a process and its group: SIGTERM, after the delay SIGKILL; returns when nothing of it is left. */
export async function endProcess(pid: number, killDelayMs: number, signal: AbortSignal): Promise<void> {
  signalGroup(pid, "SIGTERM");
  const gone = (deadlineMs: number): Promise<true> =>
    poll(async () => ((await groupLives(pid)) ? undefined : true), {
      what: `see process ${pid} end`,
      deadlineMs,
      intervalMs: 25,
      signal,
      remedy: "Look at what it waits for in the kernel: 'cat /proc/PID/stack'.",
    });
  try {
    await gone(killDelayMs);
  } catch (error) {
    if (!isKind(error, "timeout")) throw error;
    signalGroup(pid, "SIGKILL");
    await gone(afterKillMs);
  }
}

/** Processes that a program left in its group when it ended would hold its ports. */
export async function endLeftovers(pid: number, signal: AbortSignal): Promise<void> {
  if (signalGroup(pid, "SIGKILL")) await endProcess(pid, 0, signal);
}

export async function forgetProcess(recordPath: string): Promise<void> {
  await rm(recordPath, { force: true });
}

/**
 * True while a process of the group can still do something. Orphans that ended stay in the process table until the
 * machine's init looks at them: the first one of a container may take its time, or never do it.
 */
async function groupLives(pid: number): Promise<boolean> {
  if (!signalGroup(pid, 0)) return false;
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(pids.map((each) => readTextOrEmpty(`/proc/${each}/stat`).catch(() => "")));
  return stats.some((line) => {
    const stat = parseStat(line);
    return stat?.group === pid && stat.state !== "Z";
  });
}

/** False when the group has no members. */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch (error) {
    if (errorCode(error) === "ESRCH") return false;
    throw error;
  }
}
