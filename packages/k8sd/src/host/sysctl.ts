import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errorText } from "../lib/app-error.ts";
import { namesIn, readTextIfThere, readTextOrEmpty } from "../lib/read-file.ts";
import { writeFileAtomic } from "../lib/write-file.ts";
import type { HostLog } from "./log.ts";
import type { Paths } from "./paths.ts";
import { neededSysctls, planSysctls, type SysctlFile, type SysctlState } from "./sysctl-plan.ts";

export interface TuneOptions {
  readonly paths: Pick<Paths, "root" | "sysctlD">;
  /** When a machine becomes a node: begin to tune. Otherwise only a machine whose tuning file is still there is tuned. */
  readonly begin: boolean;
  /** "/proc/sys" on a real host. */
  readonly procSys: string;
}

const ownName = /^\d+-k8s\.conf$/;

/** Earlier directories hide files of the same name in later ones. */
const directories = ["etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d"];

/**
 * Raises the kernel settings that are too low, now and for the next boot. Nothing is ever lowered, and no setting of
 * anybody else is applied along the way. A kernel that refuses is no failure: many hosts work with less.
 */
export async function tuneSystem(options: TuneOptions, log: HostLog): Promise<"off" | "unchanged" | "changed"> {
  const state = await readState(options);
  if (state.own === undefined && !options.begin) return "off";
  const plan = planSysctls(state);
  const path = join(options.paths.sysctlD, plan.own.name);
  const write = state.own?.path !== path || state.own.content !== plan.own.content;
  if (write) await writeFileAtomic({ path, content: plan.own.content, mode: 0o600 });
  if (plan.obsolete !== undefined) await rm(plan.obsolete, { force: true });
  for (const [key, value] of Object.entries(plan.raise)) {
    try {
      await writeFile(liveFile(options.procSys, key), String(value));
    } catch (error) {
      log.warn({ setting: key, value, reason: errorText(error) }, "Cannot raise a kernel setting");
    }
  }
  for (const { key, value, path: file } of plan.overridden) {
    log.warn({ setting: key, value, file }, "A file that is read later sets a kernel setting too low");
  }
  return write || Object.keys(plan.raise).length > 0 ? "changed" : "unchanged";
}

/** Takes the tuning file away; the running kernel keeps its values until the next boot. */
export async function removeTuning(paths: Pick<Paths, "sysctlD">): Promise<void> {
  for (const name of await namesIn(paths.sysctlD)) {
    if (ownName.test(name)) await rm(join(paths.sysctlD, name), { force: true });
  }
}

async function readState({ paths, procSys }: TuneOptions): Promise<SysctlState> {
  const byName = new Map<string, SysctlFile>();
  for (const directory of directories) {
    const full = join(paths.root, directory);
    for (const name of await namesIn(full)) {
      if (!name.endsWith(".conf") || byName.has(name)) continue;
      byName.set(name, { path: join(full, name), content: await readTextOrEmpty(join(full, name)) });
    }
  }
  const ordered = [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, file]) => file);
  const isOwn = ({ path }: SysctlFile): boolean =>
    path.startsWith(`${paths.sysctlD}/`) && ownName.test(path.slice(paths.sysctlD.length + 1));
  const main = join(paths.root, "etc/sysctl.conf");
  const live = await Promise.all(
    Object.keys(neededSysctls).map(async (key) => [key, await readLive(procSys, key)] as const),
  );
  return {
    files: [...ordered.filter((file) => !isOwn(file)), { path: main, content: await readTextOrEmpty(main) }],
    own: ordered.find(isOwn),
    live: Object.fromEntries(live),
  };
}

async function readLive(procSys: string, key: string): Promise<number | undefined> {
  const text = await readTextIfThere(liveFile(procSys, key));
  return text === undefined ? undefined : Number(text.trim());
}

function liveFile(procSys: string, key: string): string {
  return join(procSys, key.replaceAll(".", "/"));
}
