import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { access, chmod, copyFile, lstat, readFile, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";

import { z } from "zod";
import { isMissingFile } from "../lib/app-error.ts";
import { namesIn, readTextOrEmpty } from "../lib/read-file.ts";
import { ensureDirectory, writeFileAtomic } from "../lib/write-file.ts";
import type { Paths } from "./paths.ts";

type CniPaths = Pick<Paths, "bin" | "snap" | "cniBin" | "cniInstalled">;

/** Names under which the combined `cni` program acts as one plugin. */
export const cniPlugins = [
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

/**
 * Puts the network plugins of the snap where container runtimes look: the combined `cni` program with a link per plugin,
 * or, from a tree that has them as single programs (`$SNAP/opt/cni/bin`), those. A plugin that somebody else put there
 * stays. Returns the names that it wrote.
 */
export async function installCniPlugins(paths: CniPaths): Promise<readonly string[]> {
  await ensureDirectory(paths.cniBin, 0o755);
  const ours = await readInstalled(paths);
  const written: string[] = [];
  for (const { name, install } of await plugins(paths)) {
    const path = join(paths.cniBin, name);
    const foreign = !ours.has(name) && (await lstat(path).catch(missing)) !== undefined;
    if (foreign) continue;
    // Known as ours before it is there: a crash in between leaves nothing that nobody takes away.
    if (!ours.has(name)) await writeInstalled(paths, ours.add(name));
    if (await install(path)) written.push(name);
  }
  return written;
}

/** Takes away the plugins that are ours. */
export async function removeCniPlugins(paths: CniPaths): Promise<void> {
  for (const name of await readInstalled(paths)) await rm(join(paths.cniBin, name), { force: true });
  await rm(paths.cniInstalled, { force: true });
}

interface Plugin {
  readonly name: string;
  /** True when it changed something. */
  install(path: string): Promise<boolean>;
}

async function plugins(paths: CniPaths): Promise<readonly Plugin[]> {
  const combined = join(paths.bin, "cni");
  if (await isExecutable(combined)) {
    const links = cniPlugins.map((name) => ({ name, install: link }));
    return [{ name: "cni", install: (path) => copyProgram(combined, path) }, ...links];
  }
  const singles = join(paths.snap, "opt/cni/bin");
  const names = await namesIn(singles);
  return names.map((name) => ({ name, install: (path) => copyProgram(join(singles, name), path) }));
}

async function link(path: string): Promise<boolean> {
  if ((await lstat(path).catch(missing)) !== undefined) return false;
  await symlink("cni", path);
  return true;
}

/** A runtime may run the program at this moment: the new one takes its place in one step. */
async function copyProgram(source: string, target: string): Promise<boolean> {
  if (await sameContent(source, target)) return false;
  const temporary = `${target}.${randomBytes(6).toString("hex")}`;
  try {
    await copyFile(source, temporary, constants.COPYFILE_FICLONE);
    await chmod(temporary, 0o755);
    await rename(temporary, target);
  } finally {
    await rm(temporary, { force: true });
  }
  return true;
}

async function sameContent(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([lstat(a), lstat(b).catch(missing)]);
  if (second?.size !== first.size || !second.isFile()) return false;
  const [left, right] = await Promise.all([readFile(a), readFile(b)]);
  return left.equals(right);
}

async function readInstalled(paths: CniPaths): Promise<Set<string>> {
  const text = await readTextOrEmpty(paths.cniInstalled);
  // Names become paths again when they are removed.
  return new Set(text === "" ? [] : z.array(z.string().regex(/^[\w-]+$/)).parse(JSON.parse(text)));
}

async function writeInstalled(paths: CniPaths, names: ReadonlySet<string>): Promise<void> {
  await writeFileAtomic({ path: paths.cniInstalled, content: JSON.stringify([...names].sort()), mode: 0o600 });
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

function missing(error: unknown): undefined {
  if (isMissingFile(error)) return undefined;
  throw error;
}
