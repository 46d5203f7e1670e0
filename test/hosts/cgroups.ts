import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { until } from "./until.ts";

/** One cgroup hierarchy of the machine, and the directory in it that belongs to a host. */
export interface HostCgroup {
  /** `cgroup2`, or the comma-separated v1 controllers as the mount option names them (`cpu,cpuacct`, `name=systemd`). */
  readonly controllers: string;
  readonly dir: string;
}

interface Hierarchy {
  readonly controllers: string;
  readonly mountPoint: string;
  readonly mountRoot: string;
}

/** True where the machine has cgroup v2 alone; false where v1 controllers are mounted, with or without a v2 tree beside them. */
function isPureV2(mountinfo: string = readFileSync("/proc/self/mountinfo", "utf8")): boolean {
  return hierarchies(mountinfo).every((each) => each.controllers === "cgroup2");
}

function hierarchies(mountinfo: string): Hierarchy[] {
  const found = new Map<string, Hierarchy>();
  for (const line of mountinfo.split("\n")) {
    const [mount = "", superBlock = ""] = line.split(" - ");
    const [type, , options = ""] = superBlock.split(" ");
    const [, , , mountRoot = "/", mountPoint = ""] = mount.split(" ");
    if (type !== "cgroup" && type !== "cgroup2") continue;
    // `rw`, `xattr` and the release agent are options of the mount, not names of controllers.
    const names = options
      .split(",")
      .filter((each) => !/^(rw|ro|xattr|release_agent=.*|clone_children|noprefix)$/.test(each));
    const controllers = type === "cgroup2" ? "cgroup2" : names.join(",");
    if (!found.has(controllers)) found.set(controllers, { controllers, mountPoint, mountRoot });
  }
  return [...found.values()];
}

/** Where this process is in each hierarchy, as directories. */
function ownDirs(): HostCgroup[] {
  const paths = new Map<string, string>();
  for (const line of readFileSync("/proc/self/cgroup", "utf8").trim().split("\n")) {
    const [, controllers = "", ...path] = line.split(":");
    paths.set(controllers === "" ? "cgroup2" : controllers, path.join(":"));
  }
  return hierarchies(readFileSync("/proc/self/mountinfo", "utf8")).flatMap(({ controllers, mountPoint, mountRoot }) => {
    const path = paths.get(controllers) ?? "/";
    const below = relative(mountRoot, path);
    const dir = join(mountPoint, below.startsWith("..") ? "" : below);
    return existsSync(dir) ? [{ controllers, dir }] : [];
  });
}

/**
 * The directories a host will have, not yet made. They lie below this process's own cgroups, so that whatever limits
 * this process limits its hosts.
 *
 * On a machine with cgroup v2 alone a cgroup that holds processes cannot hand controllers to its children, so there
 * the host goes below the nearest ancestor that already does. That branch follows the kernel's documentation; it has
 * not been run, because the machines these tests were written on have v1 controllers.
 */
export function planCgroups(label: string): HostCgroup[] {
  return ownDirs().map(({ controllers, dir }) => ({
    controllers,
    dir: join(controllers === "cgroup2" && isPureV2() ? delegatingAncestor(dir) : dir, `k8sd-host.${label}`),
  }));
}

function delegatingAncestor(own: string): string {
  for (let dir = own; existsSync(join(dir, "cgroup.subtree_control")); dir = join(dir, "..")) {
    const handed = readFileSync(join(dir, "cgroup.subtree_control"), "utf8").trim().split(" ");
    if (["cpu", "memory", "pids"].every((controller) => handed.includes(controller))) return dir;
  }
  return own;
}

export async function makeCgroups(cgroups: readonly HostCgroup[], memoryMaxBytes: number | undefined): Promise<void> {
  for (const { controllers, dir } of cgroups) {
    await mkdir(dir, { recursive: true });
    const names = controllers.split(",");
    if (names.includes("cpuset")) {
      for (const file of ["cpuset.cpus", "cpuset.mems"]) {
        await writeFile(join(dir, file), await readFile(join(dir, "..", file)));
      }
    }
    if (memoryMaxBytes === undefined) continue;
    if (names.includes("memory")) await writeFile(join(dir, "memory.limit_in_bytes"), String(memoryMaxBytes));
    else if (existsSync(join(dir, "memory.max"))) await writeFile(join(dir, "memory.max"), String(memoryMaxBytes));
  }
}

/** Stops or continues every process of the host. The v2 freezer is preferred: its processes can still be killed. */
export async function setFrozen(cgroups: readonly HostCgroup[], frozen: boolean): Promise<void> {
  const v2 = cgroups.find((each) => each.controllers === "cgroup2");
  if (v2 !== undefined) {
    await writeFile(join(v2.dir, "cgroup.freeze"), frozen ? "1" : "0");
    const isDone = () => readFileSync(join(v2.dir, "cgroup.events"), "utf8").includes(`frozen ${frozen ? 1 : 0}`);
    await until(isDone, { what: frozen ? "the host to freeze" : "the host to thaw", timeoutMs: 10_000, everyMs: 2 });
    return;
  }
  const v1 = cgroups.find((each) => each.controllers.split(",").includes("freezer"));
  if (v1 === undefined) throw new Error("cannot freeze the host: the machine has neither cgroup v2 nor the v1 freezer");
  const state = join(v1.dir, "freezer.state");
  await writeFile(state, frozen ? "FROZEN" : "THAWED");
  const isDone = () => readFileSync(state, "utf8").trim() === (frozen ? "FROZEN" : "THAWED");
  await until(isDone, { what: "the freezer", timeoutMs: 10_000, everyMs: 2 });
}

/**
 * Removes the directories, and kills what still runs in them: a host given up while it boots has no known first
 * process yet. The kernel lets go of a cgroup a moment after its last process is gone.
 */
export async function removeCgroups(cgroups: readonly HostCgroup[]): Promise<void> {
  for (const { dir } of cgroups) {
    const isGone = () => {
      try {
        removeTree(dir);
        return true;
      } catch (error) {
        if (["EBUSY", "ENOTEMPTY"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
        throw error;
      }
    };
    await until(isGone, { what: `${dir} to become empty`, timeoutMs: 10_000 });
  }
}

function removeTree(dir: string): void {
  if (!existsSync(dir)) return;
  for (const line of readFileSync(join(dir, "cgroup.procs"), "utf8").split("\n")) {
    const pid = Number(line);
    if (pid > 0) killIfThere(pid); // a process outside this one's process namespace shows as 0
  }
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(dir, entry.name));
  }
  rmdirSync(dir);
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
