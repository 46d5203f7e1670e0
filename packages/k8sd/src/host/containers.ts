import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, isMissingFile } from "../lib/app-error.ts";
import { namesIn, readTextOrEmpty } from "../lib/read-file.ts";
import { poll } from "../lib/wait.ts";
import type { Host } from "./host.ts";

/**
 * Ends every container of this node's containerd and releases what they mounted. Call it when containerd is stopped:
 * shims outlive it. A shim is ours when it was started for our socket; containers of other runtimes are left alone.
 */
export async function removeContainers(host: Pick<Host, "paths" | "run">, signal: AbortSignal): Promise<void> {
  const { containerd, kubeletRoot } = host.paths;
  for (const pid of await shimsOf(containerd.socket)) killTree(pid, await childrenByParent());
  await poll(async () => ((await shimsOf(containerd.socket)).length === 0 ? true : undefined), {
    what: "see the containers end",
    deadlineMs: 10_000,
    signal,
  });
  await unmountBelow([kubeletRoot, containerd.rootDir, containerd.stateDir], host, signal);
}

/** Those that networks were made in for this containerd's pods, as it keeps them while they are there. */
export async function podNamespaces(stateDir: string): Promise<readonly string[]> {
  const tasks = join(stateDir, "io.containerd.runtime.v2.task/k8s.io");
  const names = await namesIn(tasks);
  const configs = await Promise.all(names.map((name) => readTextOrEmpty(join(tasks, name, "config.json"))));
  return [...new Set(configs.flatMap(namespaceOf))];
}

/** Of the container whose OCI configuration this is; one that is the host's own, or of a process, is not meant. */
function namespaceOf(config: string): readonly string[] {
  if (config === "") return [];
  const { linux } = JSON.parse(config) as { linux?: { namespaces?: readonly { type: string; path?: string }[] } };
  const path = linux?.namespaces?.find(({ type }) => type === "network")?.path ?? "";
  return /^(\/var)?\/run\/netns\/cni-[\w-]+$/.test(path) ? [path] : [];
}

/** With it go the interfaces that lead into it. */
export async function removeNamespace(path: string, host: Pick<Host, "run">, signal: AbortSignal): Promise<void> {
  const notMounted = [1, 32];
  await host.run(["umount", "--lazy", path], { signal, okExitCodes: notMounted });
  await rm(path, { force: true });
}

async function shimsOf(socket: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const pid of await processes()) {
    const argv = await readProc(pid, "cmdline");
    const [program = "", ...args] = argv.split("\0");
    if (/(^|\/)containerd-shim[^/]*$/.test(program) && args[args.indexOf("-address") + 1] === socket) found.push(pid);
  }
  return found;
}

async function childrenByParent(): Promise<ReadonlyMap<number, readonly number[]>> {
  const children = new Map<number, number[]>();
  for (const pid of await processes()) {
    // The command name stands in parentheses and may hold anything; the parent is the second field after it.
    const stat = await readProc(pid, "stat");
    const parent = Number(
      stat
        .slice(stat.lastIndexOf(")") + 1)
        .trim()
        .split(" ")[1],
    );
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  return children;
}

function killTree(pid: number, children: ReadonlyMap<number, readonly number[]>): void {
  for (const child of children.get(pid) ?? []) killTree(child, children);
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (errorCode(error) !== "ESRCH") throw error;
  }
}

async function processes(): Promise<readonly number[]> {
  return (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
}

/** "" when the process is gone. */
async function readProc(pid: number, file: string): Promise<string> {
  try {
    return await readFile(join("/proc", String(pid), file), "utf8");
  } catch (error) {
    if (isMissingFile(error) || errorCode(error) === "ESRCH") return "";
    throw error;
  }
}

/** Releases every mount below the directories, innermost first. */
export async function unmountBelow(
  directories: readonly string[],
  host: Pick<Host, "run">,
  signal: AbortSignal,
): Promise<void> {
  const mounts = (await readFile("/proc/self/mountinfo", "utf8"))
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? [])
    // The kernel writes space, tab, newline and backslash as octal.
    .map((path) => path.replaceAll(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))))
    .filter((path) => directories.some((directory) => path.startsWith(`${directory}/`)));
  for (const mount of mounts.toReversed()) {
    await host.run(["umount", "--lazy", mount], { signal });
  }
}
