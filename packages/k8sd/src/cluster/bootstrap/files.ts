import { mkdir, rm, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { Conflict } from "../../host/host.ts";
import { conflictsError } from "../../host/preflight.ts";
import { exists } from "../../lib/read-file.ts";
import { ensureDirectory, removeFile, type WantedFile, writeFileAtomic } from "../../lib/write-file.ts";
import type { StepContext } from "../../operations/plan.ts";
import { type BootstrapInput, purposeOf } from "./plan.ts";

/** What a step is about to make, as its undo needs to know it. */
interface Made {
  readonly files: readonly string[];
  /** Parents first. */
  readonly directories: readonly string[];
}

function remember(context: StepContext, made: Made): void {
  context.remember({ ...made });
}

function remembered(context: StepContext): Made {
  return (context.note as unknown as Made | undefined) ?? { files: [], directories: [] };
}

/** These directories and those above them that are not there, parents first. */
async function missingDirectories(paths: readonly string[]): Promise<readonly string[]> {
  const missing = new Set<string>();
  for (const path of paths) {
    for (let at = path; !missing.has(at) && !(await exists(at)); at = dirname(at)) missing.add(at);
  }
  return [...missing].sort((a, b) => a.length - b.length);
}

/**
 * Writes files that must not be there yet: one that is belongs to somebody else, and is neither read nor replaced.
 * @param later further paths that the step creates itself; remembered with the files.
 */
export async function createFiles(
  files: readonly WantedFile[],
  context: StepContext,
  later: readonly string[] = [],
): Promise<void> {
  const foreign: string[] = [];
  for (const file of files) if (await exists(file.path)) foreign.push(file.path);
  if (foreign.length > 0) {
    throw conflictsError(purposeOf(context.input as BootstrapInput), foreignFiles(foreign));
  }
  const paths = [...files.map((file) => file.path), ...later];
  remember(context, { files: paths, directories: await missingDirectories(paths.map(dirname)) });
  for (const [index, file] of files.entries()) {
    context.signal.throwIfAborted();
    await writeFileAtomic(file);
    context.progress({ done: index + 1, of: files.length });
  }
}

/** Empty, or one conflict that names them. */
export function foreignFiles(paths: readonly string[]): readonly Conflict[] {
  if (paths.length === 0) return [];
  const shown = paths.slice(0, 5).join(", ") + (paths.length > 5 ? ` and ${paths.length - 5} more` : "");
  return [
    {
      message: `files of somebody else are in the way: ${shown}`,
      remedy:
        "Move these files away or delete them if nothing needs them; k8s never deletes files that it did not create.",
    },
  ];
}

/** Removes the files that `createFiles` recorded, and the directories made for them unless somebody else uses them now. */
export async function removeFiles(context: StepContext): Promise<void> {
  const { files, directories } = remembered(context);
  for (const path of files) await removeFile(path);
  for (const path of directories.toReversed()) {
    await rmdir(path).catch(() => {
      // Not empty, or not there: either way not ours to remove.
    });
  }
}

/** Creates what is missing of the directories and remembers exactly that. */
export async function createDirectories(
  directories: readonly { readonly path: string; readonly mode: number }[],
  context: StepContext,
): Promise<void> {
  const missing = await missingDirectories(directories.map(({ path }) => path));
  remember(context, { files: [], directories: missing });
  const modes = new Map(directories.map(({ path, mode }) => [path, mode]));
  for (const path of missing) {
    const mode = modes.get(path);
    // A parent that nobody asked for gets the mode a parent has on every host: others may need to pass it.
    if (mode === undefined) await mkdir(path, { recursive: true, mode: 0o755 });
    else await ensureDirectory(path, mode);
  }
}

/** Removes the directories that `createDirectories` made, with what the node's own programs left in them. */
export async function removeDirectories(context: StepContext): Promise<void> {
  for (const path of remembered(context).directories) await rm(path, { recursive: true, force: true });
}
