import type { KeyValue } from "../../gen/etcd.ts";
import { keyText } from "../key-range.ts";
import { Lacking, type Needs, runLacking } from "./needs.ts";

/**
 * Keys as the newest state has them, as long as nobody else writes: what was read or written lately, or is known not to be there.
 * Bounded: what was not used for longest goes first.
 */
export interface KnownKeys {
  /** Undefined: not known. */
  get(key: Uint8Array): { readonly kv: KeyValue | undefined } | undefined;
  set(key: Uint8Array, kv: KeyValue | undefined): void;
  forget(): void;
}

const maxBytes = 16 * 1024 * 1024;
/** What an entry costs beside its key and value. */
const entryBytes = 250;

interface Entry {
  readonly kv: KeyValue | undefined;
  readonly size: number;
}

export function createKnownKeys(limit: number = maxBytes): KnownKeys {
  // In the order of their last use.
  const entries = new Map<string, Entry>();
  let size = 0;

  function drop(name: string, entry: Entry): void {
    entries.delete(name);
    size -= entry.size;
  }

  return {
    get(key) {
      const name = keyText(key);
      const entry = entries.get(name);
      if (!entry) return undefined;
      entries.delete(name);
      entries.set(name, entry);
      return entry;
    },
    set(key, kv) {
      const name = keyText(key);
      const old = entries.get(name);
      if (old) drop(name, old);
      const entry = { kv: kv && withOwnBytes(kv), size: entryBytes + key.length + (kv?.value.length ?? 0) };
      entries.set(name, entry);
      size += entry.size;
      for (const [oldest, each] of entries) {
        if (size <= limit) break;
        drop(oldest, each);
      }
    },
    forget() {
      entries.clear();
      size = 0;
    },
  };
}

/** Those that came are a part of a message, which would be kept with them. */
function withOwnBytes(kv: KeyValue): KeyValue {
  return { ...kv, key: Uint8Array.prototype.slice.call(kv.key), value: Uint8Array.prototype.slice.call(kv.value) };
}

/** What is known counts; of a key that is not, it is supposed that it does not exist; all else is lacking. */
export interface Suppositions extends Needs {
  /** The keys of which it was supposed. */
  readonly supposed: readonly Uint8Array[];
}

export function createSuppositions(known: KnownKeys): Suppositions {
  const supposed = new Map<string, Uint8Array>();
  const lacking = (): never => {
    throw new Lacking();
  };
  return {
    find(key) {
      const found = known.get(key);
      if (!found) supposed.set(keyText(key), key);
      return found?.kv;
    },
    list: lacking,
    count: lacking,
    listAt: lacking,
    countAt: lacking,
    keysOfLease: lacking,
    lease: lacking,
    attempt: runLacking,
    fetch: lacking,
    get supposed() {
      return [...supposed.values()];
    },
  };
}
