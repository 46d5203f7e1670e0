import { access, mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError } from "../../lib/app-error.ts";
import { ensureDirectory, type WantedFile, writeFileAtomic } from "../../lib/write-file.ts";
import type { StepContext } from "../../operations/plan.ts";

/** What a step made, as its undo needs to know it. */
interface Made {
  readonly paths: readonly string[];
}

function made(context: StepContext): readonly string[] {
  return (context.note as unknown as Made | undefined)?.paths ?? [];
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

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
  if (foreign.length > 0) throw foreignFiles(foreign);
  context.remember({ paths: [...files.map((file) => file.path), ...later] });
  for (const [index, file] of files.entries()) {
    context.signal.throwIfAborted();
    await writeFileAtomic(file);
    context.progress({ done: index + 1, of: files.length });
  }
}

export function foreignFiles(paths: readonly string[]): AppError {
  const shown = paths.slice(0, 5).join(", ");
  const more = paths.length > 5 ? ` and ${paths.length - 5} more` : "";
  return new AppError("conflict", `cannot write ${shown}${more}: the file exists and is not of this cluster`, {
    remedy:
      "Move these files away or delete them if nothing needs them; k8s never deletes files that it did not create.",
  });
}

/** Removes the files that `createFiles` recorded. */
export async function removeFiles(context: StepContext): Promise<void> {
  for (const path of made(context)) await rm(path, { force: true });
}

/** Creates what is missing of the directories and remembers exactly that. */
export async function createDirectories(
  directories: readonly { readonly path: string; readonly mode: number }[],
  context: StepContext,
): Promise<void> {
  const missing = new Set<string>();
  for (const { path } of directories) {
    for (let at = path; !(await exists(at)); at = dirname(at)) missing.add(at);
  }
  // Shortest first: removing a parent removes what this node put below it.
  context.remember({ paths: [...missing].sort((a, b) => a.length - b.length) });
  const modes = new Map(directories.map(({ path, mode }) => [path, mode]));
  for (const path of [...missing].sort((a, b) => a.length - b.length)) {
    const mode = modes.get(path);
    // A parent that nobody asked for gets the mode a parent has on every host: others may need to pass it.
    if (mode === undefined) await mkdir(path, { recursive: true, mode: 0o755 });
    else await ensureDirectory(path, mode);
  }
}

/** Removes the directories that `createDirectories` made, with what the node's own programs left in them. */
export async function removeDirectories(context: StepContext): Promise<void> {
  for (const path of made(context)) await rm(path, { recursive: true, force: true });
}
