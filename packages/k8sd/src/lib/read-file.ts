import { access, readdir, readFile, stat } from "node:fs/promises";
import { errorCode, isMissingFile } from "./app-error.ts";

/** The text of a file; undefined when it is not there. */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissingFile(error)) return undefined;
    throw error;
  }
}

/** The text of a file; a file that is not there has none. */
export async function readTextOrEmpty(path: string): Promise<string> {
  return (await readTextIfThere(path)) ?? "";
}

/** How many bytes a file has; undefined when it is not there. */
export async function sizeIfThere(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissingFile(error)) return undefined;
    throw error;
  }
}

/** The names in a directory, sorted; a directory that is not there holds none. */
export async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (error) {
    if (isMissingFile(error)) return [];
    throw error;
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    // The second: something above it is no directory.
    if (isMissingFile(error) || errorCode(error) === "ENOTDIR") return false;
    throw error;
  }
}
