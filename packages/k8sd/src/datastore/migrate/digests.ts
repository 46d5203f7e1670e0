import { createHash } from "node:crypto";
import type { Datastore, KeyValue, Revision } from "../datastore.ts";
import { pages, patient } from "./batches.ts";
import { type Content, createFingerprint } from "./fingerprint.ts";

/** What a list of keys tells of each. */
export type Listed = Pick<KeyValue, "key" | "modRevision" | "lease">;

/** The digests of a store's values: of what was read while it served, only what changed since is read again. */
export interface Digests {
  /** Reads all values. */
  learn(store: Datastore, signal: AbortSignal): Promise<void>;
  /** @param listed all keys of this revision */
  contentOf(store: Datastore, listed: readonly Listed[], revision: Revision, signal: AbortSignal): Promise<Content>;
}

const readAtOnce = 50;

export function createDigests(): Digests {
  // A revision in which a key was changed last stands for one value of it.
  const known = new Map<string, { readonly revision: Revision; readonly digest: string }>();
  const remember = ({ key, value, modRevision }: KeyValue): void => {
    known.set(nameOf(key), { revision: modRevision, digest: createHash("sha256").update(value).digest("base64") });
  };
  const digestOf = ({ key, modRevision }: Listed): string | undefined => {
    const found = known.get(nameOf(key));
    return found?.revision === modRevision ? found.digest : undefined;
  };

  return {
    async learn(store, signal) {
      for await (const page of pages(store, { signal })) page.forEach(remember);
    },
    async contentOf(store, listed, revision, signal) {
      const changed = listed.filter((one) => digestOf(one) === undefined);
      for (let at = 0; at < changed.length; at += readAtOnce) {
        const read = await readKeys(store, changed.slice(at, at + readAtOnce), revision, signal);
        read.forEach(remember);
      }
      const fingerprint = createFingerprint();
      for (const one of listed) {
        // What is gone between the list and the look is a difference.
        fingerprint.add({ ...one, value: Buffer.from(digestOf(one) ?? "") });
      }
      return fingerprint.result();
    },
  };
}

const nameOf = (key: Uint8Array): string => Buffer.from(key).toString("latin1");

export async function keysOf(store: Datastore, revision: Revision, signal: AbortSignal): Promise<readonly Listed[]> {
  const found: Listed[] = [];
  for await (const page of pages(store, { revision, keysOnly: true, signal })) {
    for (const { key, modRevision, lease } of page) found.push({ key, modRevision, lease });
  }
  return found;
}

/** Those of the keys that are there; some dozens at most. */
export async function readKeys(
  store: Datastore,
  keys: readonly Pick<KeyValue, "key">[],
  revision: Revision,
  signal: AbortSignal,
): Promise<readonly KeyValue[]> {
  const success = keys.map(({ key }) => ({ op: "range", range: { key }, select: { revision } }) as const);
  const { results } = await store.txn({ success }, patient(signal));
  return results.flatMap((result) => (result.op === "range" ? result.kvs : []));
}
