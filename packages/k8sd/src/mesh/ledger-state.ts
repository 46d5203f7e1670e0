import { createHash } from "node:crypto";
import type { LedgerEntry } from "./messages.ts";
import type { Head } from "./types.ts";

export interface Removal {
  readonly key: string;
  /** At which it was removed. */
  readonly revision: number;
}

/** The way from one state to a newer one; `base` undefined: from nothing. */
export interface Delta {
  readonly base: Head | undefined;
  readonly entries: readonly LedgerEntry[];
  readonly removed: readonly Removal[];
}

/** All records at one revision. Never changed: a newer one is made of it. */
export interface LedgerState {
  readonly entries: ReadonlyMap<string, LedgerEntry>;
  /** The newest removals; whoever is older than `floor` has to take the whole state. */
  readonly removed: ReadonlyMap<string, number>;
  readonly floor: number;
  /** Of each entry, so that a change costs the hash of what changed. */
  readonly hashes: ReadonlyMap<string, Uint8Array>;
  readonly root: Uint8Array;
}

/** Removals that are remembered; all fit one message. A node that missed more takes the whole state, which is never wrong. */
const maxRemovals = 128;

export const emptyState: LedgerState = {
  entries: new Map(),
  removed: new Map(),
  floor: 0,
  hashes: new Map(),
  root: rootOf(new Map()),
};

export function stateOf(entries: Iterable<LedgerEntry>, floor: number): LedgerState {
  return applyDelta(
    { ...emptyState, floor },
    { base: { epoch: 0, revision: floor }, entries: [...entries], removed: [] },
  );
}

/** @param revision of the state that results; only used as the floor where everything is replaced */
export function applyDelta(state: LedgerState, delta: Delta, revision = state.floor): LedgerState {
  const from = delta.base === undefined ? { ...emptyState, floor: revision } : state;
  const entries = new Map(from.entries);
  const hashes = new Map(from.hashes);
  const removed = new Map(from.removed);
  for (const { key, revision: at } of delta.removed) {
    entries.delete(key);
    hashes.delete(key);
    removed.set(key, at);
  }
  for (const entry of delta.entries) {
    entries.set(entry.key, entry);
    hashes.set(entry.key, hashOf(entry));
    removed.delete(entry.key);
  }
  return { entries, hashes, root: rootOf(hashes), ...boundRemovals(removed, from.floor) };
}

/** What a copy at `base` lacks; the whole state when the removals since are not known any more. */
export function deltaSince(state: LedgerState, base: Head, head: Head): Delta {
  if (base.epoch !== head.epoch || base.revision < state.floor) {
    return { base: undefined, entries: [...state.entries.values()], removed: [] };
  }
  return {
    base,
    entries: [...state.entries.values()].filter((entry) => entry.revision > base.revision),
    removed: [...state.removed].flatMap(([key, revision]) => (revision > base.revision ? [{ key, revision }] : [])),
  };
}

/** What leads from `state` to exactly `wanted`. Keys that are gone count as removed at `revision`. */
export function difference(state: LedgerState, wanted: readonly LedgerEntry[], base: Head, revision: number): Delta {
  const keys = new Set(wanted.map((entry) => entry.key));
  return {
    base,
    entries: wanted.filter((entry) => {
      const known = state.entries.get(entry.key);
      return known === undefined || known.revision !== entry.revision || known.value !== entry.value;
    }),
    removed: [...state.entries.keys()].flatMap((key) => (keys.has(key) ? [] : [{ key, revision }])),
  };
}

function boundRemovals(removed: ReadonlyMap<string, number>, floor: number): Pick<LedgerState, "removed" | "floor"> {
  if (removed.size <= maxRemovals) return { removed, floor };
  const newest = [...removed].sort(([, a], [, b]) => b - a);
  return { removed: new Map(newest.slice(0, maxRemovals)), floor: newest[maxRemovals]?.[1] ?? floor };
}

function hashOf({ key, value, revision }: LedgerEntry): Uint8Array {
  // The lengths keep two records with shifted borders apart.
  return createHash("sha256").update(`${key.length} ${value.length} ${revision} ${key}${value}`).digest();
}

function rootOf(hashes: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const root = createHash("sha256");
  for (const key of [...hashes.keys()].sort()) root.update(hashes.get(key) as Uint8Array);
  return root.digest();
}
