import type { KeyValue } from "../../gen/etcd.ts";
import { type KeySpan, keyText, spanText } from "../key-range.ts";
import type { Connection } from "./connection.ts";
import {
  fetchCount,
  fetchCountAt,
  fetchKeysOfLease,
  fetchLeases,
  fetchList,
  fetchListAt,
  findKeys,
  type LeaseState,
} from "./queries.ts";

/** Ends a run that asked for something that is not at hand yet. */
export class Lacking extends Error {
  override readonly name = "Lacking";
}

export function runLacking<T>(run: () => T): { readonly value: T } | undefined {
  try {
    return { value: run() };
  } catch (error) {
    if (error instanceof Lacking) return undefined;
    throw error;
  }
}

/** Finds out what is lacking, by a state that is good enough for it; what comes of the run does not count. */
export function rehearse(run: () => unknown): void {
  try {
    runLacking(run);
  } catch {
    // Refused on a state that is not the real one.
  }
}

/**
 * What one state of the database holds, for plain functions without waits: what is asked for and not at hand ends the run, is
 * fetched with all else that was lacking, and the run begins anew.
 */
export interface Needs {
  find(key: Uint8Array): KeyValue | undefined;
  list(span: KeySpan, limit: number): KeyValue[];
  count(span: KeySpan): number;
  listAt(span: KeySpan, revision: number, limit: number): KeyValue[];
  countAt(span: KeySpan, revision: number): number;
  keysOfLease(lease: bigint): Uint8Array[];
  lease(id: bigint): LeaseState | undefined;
  /** Runs, and gives what came of it; undefined when it has to run again after `fetch`. */
  attempt<T>(run: () => T): { readonly value: T } | undefined;
  fetch(connection: Connection): Promise<void>;
}

/** Those that may be nothing but keys. */
export interface KeyNeeds extends Needs {
  /** The keys that are lacking; undefined where nothing is, or something else too. */
  lackingKeys(): readonly Uint8Array[] | undefined;
  /** Instead of a fetch, where keys alone are lacking: those of them that exist. */
  give(kvs: readonly KeyValue[]): void;
}

/** Told of each key that was looked up, and what was found. */
type Found = (key: Uint8Array, kv: KeyValue | undefined) => unknown;

export function createNeeds(found: Found = () => undefined): KeyNeeds {
  const have = new Map<string, unknown>();
  const lackingKeys = new Map<string, Uint8Array>();
  const lackingLeases = new Map<string, bigint>();
  const lacking = new Map<string, (connection: Connection) => Promise<unknown>>();

  function get<T>(name: string, fetch: (connection: Connection) => Promise<T>): T {
    if (have.has(name)) return have.get(name) as T;
    lacking.set(name, fetch);
    throw new Lacking();
  }

  function give(keys: ReadonlyMap<string, Uint8Array>, kvs: readonly KeyValue[]): void {
    const byName = new Map(kvs.map((kv) => [`key ${keyText(kv.key)}`, kv]));
    for (const [name, key] of keys) {
      have.set(name, byName.get(name));
      found(key, byName.get(name));
    }
  }

  return {
    find(key) {
      const name = `key ${keyText(key)}`;
      if (have.has(name)) return have.get(name) as KeyValue | undefined;
      lackingKeys.set(name, key);
      throw new Lacking();
    },
    lease(id) {
      const name = `lease ${id}`;
      if (have.has(name)) return have.get(name) as LeaseState | undefined;
      lackingLeases.set(name, id);
      throw new Lacking();
    },
    list: (span, limit) => get(`list ${limit} ${spanText(span)}`, (connection) => fetchList(connection, span, limit)),
    count: (span) => get(`count ${spanText(span)}`, (connection) => fetchCount(connection, span)),
    listAt: (span, at, limit) =>
      get(`list ${limit} at ${at} ${spanText(span)}`, (connection) => fetchListAt(connection, span, at, limit)),
    countAt: (span, at) => get(`count at ${at} ${spanText(span)}`, (connection) => fetchCountAt(connection, span, at)),
    keysOfLease: (lease) => get(`keys of ${lease}`, (connection) => fetchKeysOfLease(connection, lease)),
    attempt: runLacking,
    async fetch(connection) {
      const keys = new Map(lackingKeys);
      const leases = new Map(lackingLeases);
      const others = new Map(lacking);
      for (const map of [lackingKeys, lackingLeases, lacking]) map.clear();
      const fetchKeys = async () => give(keys, await findKeys(connection, [...keys.values()]));
      const fetchAllLeases = async () => {
        const states = await fetchLeases(connection, [...leases.values()]);
        for (const [name, id] of leases) have.set(name, states.get(id));
      };
      await Promise.all([
        ...(keys.size > 0 ? [fetchKeys()] : []),
        ...(leases.size > 0 ? [fetchAllLeases()] : []),
        ...[...others].map(async ([name, fetch]) => have.set(name, await fetch(connection))),
      ]);
    },
    lackingKeys() {
      const alone = lackingKeys.size > 0 && lackingLeases.size === 0 && lacking.size === 0;
      return alone ? [...lackingKeys.values()] : undefined;
    },
    give(kvs) {
      give(lackingKeys, kvs);
      lackingKeys.clear();
    },
  };
}
