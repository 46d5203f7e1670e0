import { createHash } from "node:crypto";
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { isMissingFile } from "@k8sd/k8sd/lib/app-error.ts";
import { takeLock } from "./lock.ts";

export interface Cache {
  readonly directory: string;
  /** A finished entry's record, or undefined. */
  find<T>(kind: EntryKind, name: string): Promise<T | undefined>;
  path(kind: EntryKind, name: string): string;
  /**
   * Gives an entry's record; makes the entry when it is not there. Only one process makes it, and it appears whole:
   * `make` fills a temporary directory that is renamed once everything is in it.
   */
  obtain<T>(kind: EntryKind, name: string, make: (directory: string) => Promise<T>): Promise<T>;
  /** A directory for temporary files, gone when it is disposed. */
  scratch(): Promise<AsyncDisposable & { readonly path: string }>;
  /** Removes entries that nobody used for a month, and what killed runs left. */
  prune(): Promise<void>;
}

type EntryKind = "parts" | "components";

export interface CacheOptions {
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly report: (line: string) => void;
}

const recordFile = "record.json";
/** Longer than the slowest thing that is made under a lock (a first Go build has 40 minutes). */
const lockDeadlineMs = 45 * 60_000;
const unusedDays = 30;
const leftoverDays = 1;
const dayMs = 24 * 3600_000;

/** `$XDG_CACHE_HOME/k8sd`, or `~/.cache/k8sd`. */
export function cacheDirectory(environment: NodeJS.ProcessEnv): string {
  const base = environment.XDG_CACHE_HOME;
  return join(base === undefined || base === "" ? join(homedir(), ".cache") : base, "k8sd");
}

/** A name for an entry that changes with any of its inputs. */
export function cacheKey(name: string, inputs: unknown): string {
  return `${name}-${createHash("sha256").update(JSON.stringify(inputs)).digest("hex").slice(0, 16)}`;
}

export function createCache(options: CacheOptions): Cache {
  const path = (kind: EntryKind, name: string): string => join(options.directory, kind, name);

  async function find<T>(kind: EntryKind, name: string): Promise<T | undefined> {
    try {
      const record = JSON.parse(await readFile(join(path(kind, name), recordFile), "utf8")) as T;
      const now = new Date();
      await utimes(path(kind, name), now, now);
      return record;
    } catch (error) {
      if (isMissingFile(error)) return undefined;
      throw error;
    }
  }

  async function obtain<T>(kind: EntryKind, name: string, make: (directory: string) => Promise<T>): Promise<T> {
    const present = await find<T>(kind, name);
    if (present !== undefined) return present;
    const locks = join(options.directory, "locks");
    await mkdir(locks, { recursive: true });
    await using _lock = await takeLock(join(locks, name), {
      signal: options.signal,
      deadlineMs: lockDeadlineMs,
      onWait: (pid) => options.report(`${name}: waiting for process ${pid}, which is making it`),
    });
    const made = await find<T>(kind, name);
    if (made !== undefined) return made;
    await using temporary = await scratch();
    const record = await make(temporary.path);
    await writeFile(join(temporary.path, recordFile), `${JSON.stringify(record, undefined, 2)}\n`);
    await mkdir(join(options.directory, kind), { recursive: true });
    // What is there without a record was left by hand or by a damaged disk.
    await rm(path(kind, name), { recursive: true, force: true });
    await chmod(temporary.path, 0o755);
    await rename(temporary.path, path(kind, name));
    return record;
  }

  async function scratch(): Promise<AsyncDisposable & { readonly path: string }> {
    const parent = join(options.directory, "tmp");
    await mkdir(parent, { recursive: true });
    const directory = await mkdtemp(join(parent, "k8sd-"));
    return { path: directory, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
  }

  async function prune(): Promise<void> {
    const limits = { parts: unusedDays, components: unusedDays, tmp: leftoverDays, locks: leftoverDays };
    for (const [kind, days] of Object.entries(limits)) {
      const parent = join(options.directory, kind);
      for (const name of await readdir(parent).catch(() => [])) {
        const { mtimeMs } = await lstat(join(parent, name)).catch(() => ({ mtimeMs: Date.now() }));
        if (Date.now() - mtimeMs > days * dayMs) await rm(join(parent, name), { recursive: true, force: true });
      }
    }
  }

  return { directory: options.directory, find, path, obtain, scratch, prune };
}

/** Adds a directory's content to another one by hard links: an assembled tree costs no space, and needs no copying. */
export async function linkTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) await linkTree(source, target);
    else if (entry.isSymbolicLink()) await symlink(await readlink(source), target);
    else await link(source, target);
  }
}
