import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { AppError, errorCode, isMissingFile } from "@k8sd/k8sd/lib/app-error.ts";
import { sleep, withDeadline } from "@k8sd/k8sd/lib/wait.ts";

interface Owner {
  readonly host: string;
  readonly pid: number;
  /** Tells the owner from a later process with the same pid: clock ticks since boot, field 22 of /proc/PID/stat. */
  readonly started: string;
  readonly token: string;
}

export interface LockOptions {
  readonly signal: AbortSignal;
  readonly deadlineMs: number;
  /** Called once when somebody else holds the lock. */
  readonly onWait?: (pid: number) => void;
}

const pollMs = 200;

/**
 * Takes a lock that works between processes: a directory that holds its owner. Taking it is one rename, which fails while
 * another directory with content is there. The lock of a process that is gone is taken over.
 */
export async function takeLock(path: string, options: LockOptions): Promise<AsyncDisposable> {
  const deadline = withDeadline(options.signal, options.deadlineMs);
  const mine: Owner = {
    host: hostname(),
    pid: process.pid,
    started: (await startTime(process.pid)) ?? "",
    token: randomUUID(),
  };
  const candidate = `${path}.${mine.token}`;
  await mkdir(candidate, { recursive: true });
  await writeFile(join(candidate, "owner.json"), JSON.stringify(mine));
  let told = false;
  try {
    while (!(await renameOnto(candidate, path))) {
      const owner = await readOwner(path);
      if (owner !== undefined && !(await alive(owner))) {
        await removeStale(path, owner);
        continue;
      }
      if (!told && owner !== undefined) options.onWait?.(owner.pid);
      told = true;
      try {
        await sleep(pollMs, deadline);
      } catch (error) {
        options.signal.throwIfAborted();
        throw new AppError("timeout", `cannot take the lock ${path}: process ${owner?.pid} has held it for too long`, {
          remedy: `stop process ${owner?.pid}, or wait and try again`,
          cause: error,
        });
      }
    }
  } finally {
    await rm(candidate, { recursive: true, force: true });
  }
  return { [Symbol.asyncDispose]: () => release(path) };
}

/** Moves the lock aside before it is removed, so that the removal can never meet the next owner's directory. */
async function release(path: string): Promise<void> {
  const aside = `${path}.released-${randomUUID()}`;
  await rename(path, aside);
  await rm(aside, { recursive: true, force: true });
}

async function renameOnto(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOTEMPTY" || code === "EEXIST") return false;
    throw error;
  }
}

async function readOwner(path: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(join(path, "owner.json"), "utf8")) as Owner;
  } catch (error) {
    // Released between our rename and this read, or half removed: both end by themselves.
    if (isMissingFile(error) || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function alive(owner: Owner): Promise<boolean> {
  // The processes of another machine cannot be seen (a home directory on a network): trust its lock.
  if (owner.host !== hostname()) return true;
  const started = await startTime(owner.pid);
  return started !== undefined && (owner.started === "" || started === owner.started);
}

/** Moves a dead owner's lock aside first: of several processes that saw it, one succeeds; a fresh lock is put back. */
async function removeStale(path: string, dead: Owner): Promise<void> {
  const aside = `${path}.stale-${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (isMissingFile(error)) return;
    throw error;
  }
  const moved = await readOwner(aside);
  if (moved !== undefined && moved.token !== dead.token && (await renameOnto(aside, path))) return;
  await rm(aside, { recursive: true, force: true });
}

async function startTime(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The program's name, in brackets, may hold spaces: count the fields after it.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch (error) {
    if (isMissingFile(error) || errorCode(error) === "ESRCH") return undefined;
    throw error;
  }
}
