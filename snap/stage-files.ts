import { randomBytes } from "node:crypto";
import {
  chmod,
  copyFile,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";

/** One file of a tree; `to` is its path in it. */
export type Entry = { readonly to: string } & (
  | { readonly copyOf: string; readonly mode: number }
  /** A hard link where the file system allows it: programs of 100 MB cost nothing. A symbolic link stays one. */
  | { readonly linkOf: string }
  | { readonly content: string }
);

/** Makes one file as wanted, by rename, so that a program that runs from the tree is not disturbed. True when it was not so before. */
export async function place(root: string, entry: Entry): Promise<boolean> {
  const to = join(root, entry.to);
  if (await isAsWanted(to, entry)) return false;
  await mkdir(dirname(to), { recursive: true });
  const temporary = join(dirname(to), `.tmp-${randomBytes(6).toString("hex")}`);
  try {
    await create(temporary, entry);
    await rename(temporary, to);
  } finally {
    // Still there after an error, and after a rename onto another link of the same file, which does nothing.
    await rm(temporary, { force: true });
  }
  return true;
}

async function create(path: string, entry: Entry): Promise<void> {
  if ("content" in entry) return writeFile(path, entry.content);
  const from = "copyOf" in entry ? entry.copyOf : entry.linkOf;
  const source = await lstat(from).catch((cause: unknown) => {
    throw new Error(`cannot stage ${entry.to}: ${from} is missing; build first with 'pnpm build'`, { cause });
  });
  if (source.isSymbolicLink()) return symlink(await readlink(from), path);
  if ("linkOf" in entry && (await tryLink(from, path))) return;
  await copyFile(from, path);
  await chmod(path, "mode" in entry ? entry.mode : source.mode & 0o777);
  // Size and time of the original are how the next run knows the copy.
  await utimes(path, source.atime, source.mtime);
}

async function tryLink(from: string, path: string): Promise<boolean> {
  return link(from, path).then(
    () => true,
    // Another file system, or one without hard links.
    () => false,
  );
}

async function isAsWanted(path: string, entry: Entry): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return false;
  if ("content" in entry) return found.isFile() && (await readFile(path, "utf8")) === entry.content;
  const from = "copyOf" in entry ? entry.copyOf : entry.linkOf;
  const source = await lstat(from).catch(() => undefined);
  if (source === undefined) return false;
  if (source.isSymbolicLink()) return found.isSymbolicLink() && (await readlink(path)) === (await readlink(from));
  if (found.ino === source.ino && found.dev === source.dev) return true;
  const mode = "mode" in entry ? entry.mode : source.mode & 0o777;
  const sameTime = Math.abs(found.mtimeMs - source.mtimeMs) < 2;
  return found.isFile() && found.size === source.size && sameTime && (found.mode & 0o777) === mode;
}

/** Files and links below a folder, as relative paths; links to folders are not followed. */
export async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}
