import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Host } from "../host/host.ts";
import { exists } from "../lib/read-file.ts";

export interface RestoreOptions {
  /** Directory of programs. */
  readonly bin: string;
  /** A database of etcd: a snapshot, or that of a member that does not run. */
  readonly from: string;
  readonly to: string;
  readonly name: string;
  readonly peerUrl: string;
  /** Makes the ids of cluster and member new ones: who belongs to another cluster is not talked to. */
  readonly clusterToken: string;
  /** How far its revision is raised. Default: beyond all that clients can have seen of the same store. */
  readonly bump?: number;
  readonly signal: AbortSignal;
}

/**
 * No cluster writes as often before somebody looks. Every revision that clients have seen lies below the new ones then, and
 * what they ask for from before is answered with "compacted", so they read anew.
 */
export const revisionLeap = 1_000_000_000;
/** Gigabytes on a slow disk. */
const restoreMs = 15 * 60_000;

/** Makes the data directory of a member that is a cluster by itself. */
export async function restoreEtcd(run: Host["run"], options: RestoreOptions): Promise<void> {
  const { bin, from, to, name, peerUrl, clusterToken, bump = revisionLeap, signal } = options;
  await rm(to, { recursive: true, force: true });
  await run(
    [
      await restoreProgram(bin),
      ...["snapshot", "restore", from, "--skip-hash-check"],
      ...["--bump-revision", String(bump), "--mark-compacted"],
      ...["--name", name, "--initial-cluster", `${name}=${peerUrl}`, "--initial-advertise-peer-urls", peerUrl],
      ...["--initial-cluster-token", clusterToken, "--data-dir", to],
    ],
    { signal, timeoutMs: restoreMs, env: { ETCDCTL_API: "3" } },
  );
}

/** etcd 3.6 has it in a program of its own, 3.5 in etcdctl. */
export async function restoreProgram(bin: string): Promise<string> {
  const utility = join(bin, "etcdutl");
  return (await exists(utility)) ? utility : join(bin, "etcdctl");
}
