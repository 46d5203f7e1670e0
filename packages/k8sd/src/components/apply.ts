import { lstat, readFile } from "node:fs/promises";
import type { ServiceManager } from "../host/services.ts";
import { isMissingFile } from "../lib/app-error.ts";
import { ensureDirectory, type WantedFile, writeFileAtomic } from "../lib/write-file.ts";
import type { ComponentSpec, NodeView } from "./component.ts";

/** Makes files, arguments and service definition of a component as wanted; starts and restarts nothing. */
export async function applyComponent(
  component: ComponentSpec,
  node: NodeView,
  services: Pick<ServiceManager, "apply">,
  signal: AbortSignal,
): Promise<"unchanged" | "changed"> {
  const { service, files, directories } = component.render(node);
  for (const { path, mode } of directories) {
    signal.throwIfAborted();
    await ensureDirectory(path, mode);
  }
  const written = await applyFiles(files, signal);
  const defined = await services.apply(service, signal);
  return written === "changed" || defined === "changed" ? "changed" : "unchanged";
}

/** Writes those files that differ in content or mode from what is wanted. */
export async function applyFiles(files: readonly WantedFile[], signal: AbortSignal): Promise<"unchanged" | "changed"> {
  let changed = false;
  for (const file of files) {
    signal.throwIfAborted();
    if (await isAsWanted(file)) continue;
    await writeFileAtomic(file);
    changed = true;
  }
  return changed ? "changed" : "unchanged";
}

async function isAsWanted(file: WantedFile): Promise<boolean> {
  try {
    const found = await lstat(file.path);
    return (
      found.isFile() &&
      (found.mode & 0o777) === file.mode &&
      (await readFile(file.path)).equals(Buffer.from(file.content))
    );
  } catch (error) {
    if (isMissingFile(error)) return false;
    throw error;
  }
}
