import type { Datastore, KeyValue, Revision } from "../datastore.ts";
import { parts, type Write, writeAll } from "./batches.ts";
import { type Listed, readKeys } from "./digests.ts";

interface CopyKeysOptions {
  readonly source: Datastore;
  readonly target: Datastore;
  /** Of the source; 0: the last one. */
  readonly revision: Revision;
  readonly signal: AbortSignal;
  readonly progress?: ((copied: number, total: number) => void) | undefined;
}

/** Values of up to 1.5 MiB each. */
const readAtOnce = 50;

/** In the order of their last changes, which the copy keeps. */
export async function copyKeys(
  keys: readonly Listed[],
  { source, target, revision, signal, progress }: CopyKeysOptions,
): Promise<void> {
  let copied = 0;
  for (const part of parts(
    keys.toSorted((a, b) => a.modRevision - b.modRevision),
    readAtOnce,
  )) {
    const read = await readKeys(source, part, revision, signal);
    await writeAll(target, read.map(withoutLease), signal);
    copied += part.length;
    progress?.(copied, keys.length);
  }
}

/** A lease that nobody renews here would run out while the copy lasts. */
const withoutLease = ({ key, value }: KeyValue): Write => ({ key, value });
