import { constants } from "node:fs";
import { copyFile, cp, mkdir, readdir, realpath, stat, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { AppError, isMissingFile } from "@k8sd/k8sd/lib/app-error.ts";

export interface FolderFile {
  /** Name in the result: `kubelet`, `cni/bridge`. */
  readonly file: string;
  /** What a link leads to: one multi-call binary stays one. */
  readonly real: string;
  /** Changes when the user replaces the file. */
  readonly mark: string;
}

/** Looks for a program's files in the user's folder: all of them, as `bin/NAME` or `NAME`, or the program is not there. */
export async function findInFolder(
  folder: string,
  files: readonly string[],
): Promise<readonly FolderFile[] | undefined> {
  const found: FolderFile[] = [];
  for (const file of files) {
    const one = await firstFile([join(folder, "bin", file), join(folder, file), join(folder, basename(file))], file);
    if (one === undefined) return undefined;
    found.push(one);
  }
  return found;
}

async function firstFile(candidates: readonly string[], file: string): Promise<FolderFile | undefined> {
  for (const candidate of candidates) {
    try {
      const real = await realpath(candidate);
      const { size, mtimeMs, mode } = await stat(real);
      if ((mode & constants.S_IFMT) !== constants.S_IFREG || (mode & constants.S_IXUSR) === 0) continue;
      return { file, real, mark: `${real} ${size} ${mtimeMs}` };
    } catch (error) {
      if (!isMissingFile(error)) throw error;
    }
  }
  return undefined;
}

/** Copies, so that the result does not change when the user changes the folder. */
export async function copyFromFolder(found: readonly FolderFile[], tree: string): Promise<void> {
  for (const { file, real } of found) {
    const target = join(tree, "bin", file);
    const copy = join(dirname(target), basename(real));
    await mkdir(dirname(target), { recursive: true });
    await copyFile(real, copy, constants.COPYFILE_FICLONE);
    if (copy !== target) await symlink(basename(real), target);
  }
}

/** The user's own host layer (`usr/`): a mark of its content, or undefined when a wanted file is not in it. */
export async function findLayer(folder: string, files: readonly string[]): Promise<string | undefined> {
  const usr = join(folder, "usr");
  const marks: string[] = [];
  for (const file of files) {
    try {
      const { size, mtimeMs } = await stat(join(usr, file));
      marks.push(`${file} ${size} ${mtimeMs}`);
    } catch (error) {
      if (isMissingFile(error)) return undefined;
      throw error;
    }
  }
  return marks.join("\n");
}

export async function copyLayer(folder: string, tree: string): Promise<void> {
  await cp(join(folder, "usr"), join(tree, "usr"), { recursive: true, verbatimSymlinks: true });
}

/** A mistyped folder must not end in a silent build of everything. */
export async function checkFolder(folder: string): Promise<void> {
  try {
    await readdir(folder);
  } catch (error) {
    throw new AppError("invalid", `cannot use the components folder ${folder}: it cannot be read`, {
      field: "K8SD_COMPONENTS_DIR",
      remedy: "set K8SD_COMPONENTS_DIR to a folder that holds the programs (NAME or bin/NAME), or unset it",
      cause: error,
    });
  }
}
