import { constants } from "node:fs";
import { access, readdir, readFile, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";

import { AppError, errorCode, errorText, isMissingFile } from "../lib/app-error.ts";
import type { Conflict, Preflight } from "./host.ts";
import { checkPorts } from "./preflight-ports.ts";

export interface PreflightOptions {
  /** "/proc" on a real host. */
  readonly proc: string;
  /** Where control groups are mounted. */
  readonly cgroupMount: string;
  readonly cgroups: "v1" | "v2" | "hybrid";
}

export interface PreflightDeps {
  /** Effective user id of this process. */
  readonly uid: () => number;
}

/** Without these kubelet starts no pod. */
const neededControllers = ["cpu", "cpuset", "memory", "pids"];

export function createPreflight(options: PreflightOptions, deps: PreflightDeps): Preflight {
  return {
    ports: (needs, signal) => checkPorts(needs, options.proc, signal),
    emptyDirectories: (paths, signal, owned = () => false) =>
      checkAll(paths, (path) => checkEmpty(path, owned), signal),
    programs: (paths, signal) => checkAll(paths, checkProgram, signal),
    async system(needs, signal) {
      const conflicts = await Promise.all([
        checkRoot(deps.uid()),
        checkControllers(options),
        ...needs.freeDisk.map(checkDisk),
      ]);
      signal.throwIfAborted();
      return conflicts.filter((conflict) => conflict !== undefined);
    },
  };
}

async function checkAll(
  paths: readonly string[],
  check: (path: string) => Promise<Conflict | undefined>,
  signal: AbortSignal,
): Promise<readonly Conflict[]> {
  const conflicts = await Promise.all(paths.map(check));
  signal.throwIfAborted();
  return conflicts.filter((conflict) => conflict !== undefined);
}

async function checkEmpty(path: string, owned: (path: string) => boolean): Promise<Conflict | undefined> {
  const remedy = `Move ${path} away or delete it if nothing needs it; k8s never deletes files that it did not create.`;
  try {
    const foreign = (await readdir(path)).filter((name) => !owned(join(path, name))).sort();
    if (foreign.length === 0) return undefined;
    const more = foreign.length > 3 ? ` and ${foreign.length - 3} more` : "";
    return { message: `the directory ${path} is not empty: it holds ${foreign.slice(0, 3).join(", ")}${more}`, remedy };
  } catch (error) {
    if (isMissingFile(error)) return undefined;
    if (errorCode(error) === "ENOTDIR")
      return { message: `${path} is in the way: a directory is needed there`, remedy };
    return { message: `the directory ${path} cannot be read: ${errorText(error)}`, remedy: "Run as root." };
  }
}

async function checkProgram(path: string): Promise<Conflict | undefined> {
  const remedy = "Install the complete set of programs again.";
  try {
    const file = await stat(path);
    if (!file.isFile()) return { message: `the program ${path} is not a file`, remedy };
    if (file.size === 0) return { message: `the program ${path} is empty`, remedy };
    await access(path, constants.X_OK);
    return undefined;
  } catch (error) {
    if (isMissingFile(error)) return { message: `the program ${path} is missing`, remedy };
    return { message: `the program ${path} cannot be executed: ${errorText(error)}`, remedy };
  }
}

async function checkRoot(uid: number): Promise<Conflict | undefined> {
  if (uid === 0) return undefined;
  return { message: `the daemon runs as user ${uid}, not as root`, remedy: "Start it as root." };
}

async function checkDisk(need: { path: string; bytes: number }): Promise<Conflict | undefined> {
  const place = await nearestExisting(need.path);
  const free = await statfs(place);
  const bytes = free.bavail * free.bsize;
  if (bytes >= need.bytes) return undefined;
  return {
    message: `${need.path} has ${mebibytes(bytes)} MiB of free disk space, ${mebibytes(need.bytes)} MiB are needed`,
    remedy: "Free disk space there.",
  };
}

function mebibytes(bytes: number): number {
  return Math.floor(bytes / (1024 * 1024));
}

async function nearestExisting(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch (error) {
    const parent = dirname(path);
    if (parent === path || !(isMissingFile(error) || errorCode(error) === "ENOTDIR")) throw error;
    return nearestExisting(parent);
  }
}

async function checkControllers(options: PreflightOptions): Promise<Conflict | undefined> {
  try {
    const present =
      options.cgroups === "v2" ? await controllersV2(options.cgroupMount) : await controllersV1(options.proc);
    const missing = neededControllers.filter((name) => !present.has(name));
    if (missing.length === 0) return undefined;
    return {
      message: `the kernel gives no control group controller for ${missing.join(", ")}`,
      remedy: "Enable them: remove cgroup_disable= from the kernel command line, or delegate them to this container.",
    };
  } catch (error) {
    return {
      message: `the control groups cannot be read: ${errorText(error)}`,
      remedy: `Mount the control groups at ${options.cgroupMount}.`,
    };
  }
}

async function controllersV2(mount: string): Promise<ReadonlySet<string>> {
  return new Set((await readFile(join(mount, "cgroup.controllers"), "utf8")).trim().split(" "));
}

/** Lines of /proc/cgroups: name, hierarchy, number of groups, enabled. */
async function controllersV1(proc: string): Promise<ReadonlySet<string>> {
  const lines = (await readFile(join(proc, "cgroups"), "utf8")).split("\n").map((line) => line.split("\t"));
  return new Set(lines.filter((fields) => fields[3] === "1").map((fields) => fields[0] ?? ""));
}

/** One error for all conflicts, for a caller that cannot go on with any of them. */
export function conflictsError(what: string, conflicts: readonly Conflict[]): AppError {
  const fields = [...new Set(conflicts.flatMap(({ field }) => field ?? []))];
  const remedies = [...new Set(conflicts.map(({ remedy }) => remedy))];
  return new AppError("conflict", `cannot ${what}: ${conflicts.map(({ message }) => message).join("; ")}`, {
    remedy: remedies.join(" "),
    details: { conflicts },
    // More than one is at fault: each conflict has its own.
    ...(fields.length === 1 && fields[0] !== undefined ? { field: fields[0] } : {}),
  });
}
