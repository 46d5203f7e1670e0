import { rm, rmdir } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { cleanContainers, cleanNetwork } from "../../components/cleanup.ts";
import { unmountBelow } from "../../host/containers.ts";
import type { Host } from "../../host/host.ts";
import type { Paths } from "../../host/paths.ts";
import { AppError } from "../../lib/app-error.ts";
import { exists } from "../../lib/read-file.ts";
import type { Made } from "./made.ts";

/** In the order in which a package that goes asks for them. */
export const cleanupParts = ["containers", "network", "containerd", "files"] as const;
export type CleanupPart = (typeof cleanupParts)[number];

/**
 * Takes away what the node left on its machine, when nothing of it runs any more and no daemon is there to take it back. Each
 * part can be asked for again, and touches nothing but what the node's journal says it made.
 */
export async function cleanUp(
  part: CleanupPart,
  made: Made | undefined,
  { run }: Pick<Host, "run">,
  signal: AbortSignal,
): Promise<void> {
  if (made === undefined) return;
  const { paths } = made;
  if (await listens(paths.containerd.socket)) {
    throw new AppError("conflict", `cannot clean up the ${part} of this node: its containerd runs`, {
      remedy: "Run 'k8s leave' first; where that cannot be, stop the services of the node.",
    });
  }
  const host = { paths, run };
  switch (part) {
    case "containers":
      if (made.kubernetes) await cleanContainers(host, signal);
      return;
    case "network":
      if (made.kubernetes) await cleanNetwork(host, signal);
      return removeMade(made, [paths.cniConf, paths.cniState], host, signal);
    case "containerd": {
      const { configDir, rootDir, stateDir, optDir, nriDir } = paths.containerd;
      return removeMade(made, [configDir, rootDir, stateDir, optDir, nriDir, paths.cniBin], host, signal);
    }
    case "files": {
      // Those below $SNAP_COMMON go with it, and whoever removes the package may keep a copy of it.
      const elsewhere = (path: string): boolean => !isWithin(path, paths.snapCommon);
      const rest = [...made.files, ...made.directories].filter(elsewhere);
      return removeMade(made, rest, host, signal);
    }
  }
}

/** Of these places what the node made, and directories that it made above them unless somebody else uses them now. */
async function removeMade(
  { files, directories }: Made,
  places: readonly string[],
  host: Pick<Host, "run"> & { readonly paths: Paths },
  signal: AbortSignal,
): Promise<void> {
  const within = (path: string): boolean => places.some((place) => isWithin(path, place));
  const gone = directories.filter(within);
  // What a pod mounted is no file of ours.
  await unmountBelow(gone, host, signal);
  for (const file of files.filter(within)) await rm(file, { force: true });
  for (const directory of gone) await rm(directory, { recursive: true, force: true });
  const above = directories.filter((path) => places.some((place) => place !== path && isWithin(place, path)));
  for (const directory of above.toReversed()) {
    await rmdir(directory).catch(() => {
      // Not empty, or gone.
    });
  }
}

function isWithin(path: string, place: string): boolean {
  return path === place || path.startsWith(join(place, "/"));
}

async function listens(socket: string): Promise<boolean> {
  if (!(await exists(socket))) return false;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const connection = createConnection(socket, () => resolve(true));
  connection.on("error", () => resolve(false));
  return promise.finally(() => connection.destroy());
}
