import { stat } from "node:fs/promises";
import { isAbsolute, join, normalize } from "node:path";
import { parseSnapshotHead, readSnapshotHeader, snapshotHeadBytes } from "../../datastore/snapshot/file.ts";
import type { SnapshotHeader } from "../../datastore/snapshot/header.ts";
import { createS3Store } from "../../datastore/snapshot/s3/client.ts";
import type { S3Options } from "../../datastore/snapshot/s3/request.ts";
import { AppError, errorText, isMissingFile } from "../../lib/app-error.ts";
import { namesIn } from "../../lib/read-file.ts";

const suffix = ".k8s-snapshot";

export interface StoredSnapshot {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  readonly header?: SnapshotHeader;
  /** Why it has no header. */
  readonly problem?: string;
}

/** Names in the order of their time. */
export function snapshotName(at: number, id: string): string {
  const time = new Date(at).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  return `${time}-${id.slice(0, 8)}${suffix}`;
}

export function pathOf({ directory, name }: { readonly directory: string; readonly name: string }): string {
  return join(directory, name);
}

/** Names come from outside, and become paths. */
export function checkedName(name: string): string {
  if (/^[\w-][\w.-]*$/.test(name) && name.endsWith(suffix)) return name;
  throw new AppError("invalid", `cannot fetch ${JSON.stringify(name)}: it is no name of a snapshot`, {
    remedy: "Look what there is with 'k8s snapshot list --store'.",
  });
}

export function checkedDirectory(directory: string): string {
  if (isAbsolute(directory)) return normalize(directory);
  throw new AppError("invalid", `cannot keep snapshots in ${JSON.stringify(directory)}: it is no absolute path`, {
    field: "--directory",
  });
}

/** Oldest first. */
export async function snapshotsIn(directory: string): Promise<readonly StoredSnapshot[]> {
  const names = (await namesIn(directory)).filter((name) => name.endsWith(suffix) && !name.startsWith("."));
  const found: StoredSnapshot[] = [];
  for (const name of names) {
    const snapshot = await storedSnapshot(join(directory, name), name);
    if (snapshot !== undefined) found.push(snapshot);
  }
  return found.sort(byAge);
}

/** Oldest first. */
export async function snapshotsInStore(
  options: S3Options,
  now: () => number,
  signal: AbortSignal,
): Promise<readonly StoredSnapshot[]> {
  const store = createS3Store(options, { now });
  const objects = (await store.list(signal)).filter(({ name }) => name.endsWith(suffix));
  const found: StoredSnapshot[] = [];
  for (const { name, bytes } of objects) {
    const place = { name, path: storePath(options, name), bytes };
    try {
      const { content, sent = bytes } = await store.head(name, snapshotHeadBytes, signal);
      if (sent !== bytes) throw cutOff(bytes, sent);
      found.push({ ...place, header: await parseSnapshotHead(content) });
    } catch (error) {
      if (!(error instanceof AppError) || error.retryable || error.kind === "forbidden") throw error;
      // Retention of another node came first.
      if (error.kind !== "not-found") found.push({ ...place, problem: errorText(error) });
    }
  }
  return found.sort(byAge);
}

/** A store that keeps what it got of an upload that ended too early. */
function cutOff(bytes: number, sent: number): AppError {
  return new AppError("invalid", `cannot open the snapshot: the store has ${bytes} bytes of ${sent}`, {
    remedy: "Use another one.",
  });
}

export function storePath({ bucket, prefix }: Pick<S3Options, "bucket" | "prefix">, name: string): string {
  return `s3://${bucket}/${prefix}${name}`;
}

const byAge = (a: StoredSnapshot, b: StoredSnapshot): number => (a.header?.createdAt ?? 0) - (b.header?.createdAt ?? 0);

/** Undefined: it went away meanwhile. */
async function storedSnapshot(path: string, name: string): Promise<StoredSnapshot | undefined> {
  try {
    const { size: bytes } = await stat(path);
    return await readSnapshotHeader(path).then(
      (header) => ({ name, path, bytes, header }),
      (error: unknown) => ({ name, path, bytes, problem: errorText(error) }),
    );
  } catch (error) {
    if (isMissingFile(error)) return undefined;
    throw error;
  }
}

/** Those of a cluster beyond the newest `keep`. What is not known to be its snapshot is never among them. */
export function outdated(
  snapshots: readonly StoredSnapshot[],
  { clusterId, keep }: { readonly clusterId: string; readonly keep: number },
): readonly StoredSnapshot[] {
  const own = snapshots
    .filter(({ header }) => header?.cluster.id === clusterId)
    .sort((a, b) => (b.header?.createdAt ?? 0) - (a.header?.createdAt ?? 0));
  return keep === 0 ? [] : own.slice(keep);
}
