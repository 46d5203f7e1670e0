import { createHash, type Hash } from "node:crypto";
import type { KeyValue } from "../datastore.ts";

/** What two stores with the same content share: every key, value and lease, and the order of their changes. */
export interface Fingerprint {
  add(kv: Pick<KeyValue, "key" | "value" | "lease" | "modRevision">): void;
  result(): Content;
}

export interface Content {
  readonly keys: number;
  /** SHA-256, hexadecimal. */
  readonly hash: string;
  /** In the order of keys; of those without a lease. */
  readonly revisions: readonly number[];
}

export function createFingerprint(): Fingerprint {
  const hash = createHash("sha256");
  const revisions: number[] = [];
  let keys = 0;
  return {
    add(kv) {
      keys += 1;
      addBytes(hash, kv.key);
      addBytes(hash, kv.value);
      hash.update(`${kv.lease};`);
      // Keys with a lease are written last of all.
      if (kv.lease === 0n) revisions.push(kv.modRevision);
    },
    result: () => ({ keys, hash: hash.digest("hex"), revisions }),
  };
}

/** With its length, so that no two contents make the same bytes. */
function addBytes(hash: Hash, bytes: Uint8Array): void {
  hash.update(`${bytes.length}:`).update(bytes);
}

/** True when nothing that changed later in the one changed earlier in the other; a copy may join changes. */
export function sameOrder(source: readonly number[], copy: readonly number[]): boolean {
  if (source.length !== copy.length) return false;
  const order = source.map((_, index) => index).sort((a, b) => (source[a] ?? 0) - (source[b] ?? 0));
  // Equal ones in the source may lie in any order.
  let floor = 0;
  let highest = 0;
  let previous = -1;
  for (const index of order) {
    const revision = source[index] ?? 0;
    if (revision !== previous) floor = highest;
    previous = revision;
    const copied = copy[index] ?? 0;
    if (copied < floor) return false;
    highest = Math.max(highest, copied);
  }
  return true;
}
