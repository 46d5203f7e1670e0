import { ensureDirectory } from "../lib/write-file.ts";
import type { Paths } from "./paths.ts";

export interface WantedDirectory {
  readonly path: string;
  readonly mode: number;
}

/** The directories of a node, parents first. Those of other programs are readable for them; those with our secrets are not. */
export function nodeDirectories(paths: Paths): readonly WantedDirectory[] {
  return [
    { path: paths.state, mode: 0o711 },
    { path: paths.args, mode: 0o700 },
    { path: paths.confD, mode: 0o700 },
    { path: paths.lock, mode: 0o700 },
    { path: paths.appliedArgs, mode: 0o700 },
    { path: paths.kubernetes, mode: 0o700 },
    { path: paths.pki, mode: 0o700 },
    { path: paths.etcdPki, mode: 0o700 },
    { path: paths.containerd.configDir, mode: 0o700 },
    { path: paths.containerd.confD, mode: 0o700 },
    { path: paths.containerd.hostsD, mode: 0o700 },
    { path: paths.kubeletRoot, mode: 0o755 },
    { path: paths.podLogs, mode: 0o755 },
    { path: paths.cniConf, mode: 0o755 },
    { path: paths.cniBin, mode: 0o755 },
  ];
}

/** A directory that exists keeps the mode that its owner gave it. */
export async function createDirectories(directories: readonly WantedDirectory[]): Promise<void> {
  for (const { path, mode } of directories) await ensureDirectory(path, mode);
}
