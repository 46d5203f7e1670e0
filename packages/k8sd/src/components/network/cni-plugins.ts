import { randomBytes } from "node:crypto";
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
} from "node:fs/promises";
import { join } from "node:path";
import { AppError, isMissingFile } from "../../lib/app-error.ts";

/** Plugins of the reference set, by the names that network configurations call them. */
export const cniPluginNames = [
  "bandwidth",
  "bridge",
  "dhcp",
  "firewall",
  "host-device",
  "host-local",
  "ipvlan",
  "loopback",
  "macvlan",
  "portmap",
  "ptp",
  "sbr",
  "static",
  "tuning",
  "vlan",
  "vrf",
] as const;

export interface CniPluginsOptions {
  /** `$SNAP/bin/cni`: one program that is all plugins, or a folder with a program for each. */
  readonly from: string;
  /** Where containerd looks for plugins. */
  readonly to: string;
  /** Names of plugins there that are somebody else's: they stay as they are. */
  readonly foreign?: ReadonlySet<string>;
}

/**
 * Puts the plugins where containerd looks for them. Copies, since the snap's own files go away with a refresh,
 * each by rename, since a running plugin cannot be written to.
 */
export async function installCniPlugins(
  options: CniPluginsOptions,
  signal: AbortSignal,
): Promise<"unchanged" | "changed"> {
  const { from, to, foreign = new Set() } = options;
  const ours = cniPluginNames.filter((name) => !foreign.has(name));
  const source = await stat(from).catch((error: unknown) => {
    if (!isMissingFile(error)) throw error;
    throw new AppError("unavailable", `cannot install network plugins: ${from} is missing`, {
      retryable: false,
      remedy: "The installation is incomplete: install k8s again.",
    });
  });
  await mkdir(to, { recursive: true, mode: 0o755 });
  let changed = false;
  if (source.isDirectory()) {
    const present = new Set(await readdir(from));
    for (const name of ours.filter((plugin) => present.has(plugin))) {
      signal.throwIfAborted();
      changed = (await copyProgram(join(from, name), join(to, name))) || changed;
    }
  } else {
    changed = await copyProgram(from, join(to, "cni"));
    for (const name of ours) {
      signal.throwIfAborted();
      changed = (await linkTo("cni", join(to, name))) || changed;
    }
  }
  return changed ? "changed" : "unchanged";
}

async function copyProgram(from: string, to: string): Promise<boolean> {
  const existing = await lstat(to).catch(absent);
  if (existing?.isFile() && (await sameContent(from, to))) {
    if ((existing.mode & 0o777) === 0o700) return false;
    await chmod(to, 0o700);
    return true;
  }
  return replace(to, async (temporary) => {
    await copyFile(from, temporary);
    await chmod(temporary, 0o700);
  });
}

async function linkTo(target: string, path: string): Promise<boolean> {
  const existing = await lstat(path).catch(absent);
  if (existing?.isSymbolicLink() && (await readlink(path)) === target) return false;
  return replace(path, (temporary) => symlink(target, temporary));
}

async function replace(path: string, create: (temporary: string) => Promise<void>): Promise<true> {
  const temporary = `${path}.tmp-${randomBytes(6).toString("hex")}`;
  try {
    await create(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return true;
}

async function sameContent(a: string, b: string): Promise<boolean> {
  const [left, right] = await Promise.all([stat(a), stat(b)]);
  return left.size === right.size && (await readFile(a)).equals(await readFile(b));
}

function absent(error: unknown): undefined {
  if (!isMissingFile(error)) throw error;
}
