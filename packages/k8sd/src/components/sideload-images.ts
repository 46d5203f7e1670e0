import { join } from "node:path";
import type { Host } from "../host/host.ts";
import { namesIn } from "../lib/read-file.ts";

export interface SideloadLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/**
 * Imports image archives that the operator put beside the node (`$SNAP_COMMON/images/*.tar`), for hosts without a registry.
 * Importing twice is harmless. The label keeps kubelet's garbage collection from seeing them as foreign.
 */
export async function sideloadImages(
  host: Pick<Host, "paths" | "run">,
  log: SideloadLog,
  signal: AbortSignal,
): Promise<void> {
  const { paths } = host;
  const names = await namesIn(paths.images);
  for (const name of names.filter((file) => file.endsWith(".tar"))) {
    const argv = [join(paths.bin, "ctr"), "--address", paths.containerd.socket, "--namespace", "k8s.io"];
    await host.run(
      [...argv, "image", "import", "--label", "io.cri-containerd.image=managed", join(paths.images, name)],
      {
        signal,
        timeoutMs: 120_000,
      },
    );
    log.info({ archive: name }, "Imported images");
  }
}
