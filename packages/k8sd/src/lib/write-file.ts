import { chmod, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

export interface WantedFile {
  /** Absolute path. */
  readonly path: string;
  readonly content: string | Uint8Array;
  /** Permission bits, for example 0o600. Secrets are 0o600, directories around them 0o700. */
  readonly mode: number;
}

/**
 * Replaces a file so that readers, and a machine that loses power, see the old content or the new one and never a part:
 * temporary file in the same directory, fsync, rename, fsync of the directory.
 */
export async function writeFileAtomic(file: WantedFile): Promise<void> {
  const directory = dirname(file.path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const temporary = temporaryOf(file.path);
  try {
    // What a killed writer left is not written into: somebody may hold it open.
    await rm(temporary, { force: true });
    const handle = await open(temporary, "wx", file.mode);
    try {
      await handle.writeFile(file.content);
      // The mode of open() is narrowed by the umask.
      await handle.chmod(file.mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file.path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(directory);
}

/** Removes a file that `writeFileAtomic` wrote, and what a writer that was killed left beside it. No error when it is not there. */
export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true });
  await rm(temporaryOf(path), { force: true });
}

/** One name for each file, so that whoever removes or writes the file finds what a killed writer left. */
function temporaryOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.tmp`);
}

/** Creates a directory with exactly this mode when it is missing; one that exists keeps the mode its owner gave it. */
export async function ensureDirectory(path: string, mode: number): Promise<void> {
  const created = await mkdir(path, { recursive: true, mode });
  if (created !== undefined) await chmod(path, mode);
}

/** What was made in it is there after a loss of power. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
