import { randomInt } from "node:crypto";
import type { Datastore, KeyValue, Op, Revision } from "../datastore/datastore.ts";
import { AppError } from "../lib/app-error.ts";
import { sleep } from "../lib/wait.ts";

export interface Stored<T> {
  readonly value: T;
  readonly revision: Revision;
}

/** The transaction happens only if the key is as it was read; undefined: absent. */
export interface Guard {
  readonly key: string;
  readonly seen: Stored<unknown> | undefined;
}

/** A value of undefined deletes the key. */
export interface Write {
  readonly key: string;
  readonly value: unknown;
}

/** JSON documents by key, with the revisions that compare-and-swap needs. What is read was written by us. */
export interface LedgerStore {
  read<T>(key: string, signal: AbortSignal): Promise<Stored<T> | undefined>;
  /** All at one revision. */
  readAll(keys: readonly string[], signal: AbortSignal): Promise<readonly (Stored<unknown> | undefined)[]>;
  list<T>(prefix: string, signal: AbortSignal): Promise<readonly Stored<T>[]>;
  keys(prefix: string, signal: AbortSignal): Promise<readonly string[]>;
  /** @returns the revision, or undefined when something had changed and nothing was written. */
  swap(guards: readonly Guard[], writes: readonly Write[], signal: AbortSignal): Promise<Revision | undefined>;
}

/** The datastore of a healthy cluster answers in milliseconds; one without quorum must not hold a caller for long. */
const timeoutMs = 5_000;
/** For losing against others again and again: fifty nodes that join at once are done in a second. */
const contentionMs = 20_000;

export function storedOf<T>(kv: KeyValue): Stored<T> {
  return { value: JSON.parse(Buffer.from(kv.value).toString("utf8")) as T, revision: kv.modRevision };
}

export function createLedgerStore(datastore: Pick<Datastore, "range" | "txn">): LedgerStore {
  return {
    read: async <T>(key: string, signal: AbortSignal) => {
      const { kvs } = await datastore.range({ key }, { signal, timeoutMs });
      return kvs[0] && storedOf<T>(kvs[0]);
    },
    readAll: async (keys, signal) => {
      const success = keys.map((key): Op => ({ op: "range", range: { key } }));
      const { results } = await datastore.txn({ success }, { signal, timeoutMs });
      return results.map((result) => {
        const kv = result.op === "range" ? result.kvs[0] : undefined;
        return kv && storedOf(kv);
      });
    },
    list: async <T>(prefix: string, signal: AbortSignal) => {
      const { kvs } = await datastore.range({ prefix }, { signal, timeoutMs });
      return kvs.map((kv) => storedOf<T>(kv));
    },
    keys: async (prefix, signal) => {
      const { kvs } = await datastore.range({ prefix }, { keysOnly: true, signal, timeoutMs });
      return kvs.map(({ key }) => Buffer.from(key).toString("utf8"));
    },
    swap: async (guards, writes, signal) => {
      const { succeeded, revision } = await datastore.txn(
        {
          compare: guards.map(({ key, seen }) => ({ key, target: "mod", is: "=", to: seen?.revision ?? 0 })),
          success: writes.map(({ key, value }) =>
            value === undefined ? { op: "delete", range: { key } } : { op: "put", key, value: JSON.stringify(value) },
          ),
        },
        { signal, timeoutMs },
      );
      return succeeded ? revision : undefined;
    },
  };
}

/** Reads, decides and swaps again until nobody came between; `once` gives undefined when somebody did. */
export async function untilSwapped<T>(
  what: string,
  signal: AbortSignal,
  once: (signal: AbortSignal) => Promise<T | undefined>,
): Promise<T> {
  const begun = performance.now();
  for (let lost = 0; performance.now() - begun < contentionMs; lost += 1) {
    const outcome = await once(signal);
    if (outcome !== undefined) return outcome;
    // Apart from each other, or the same ones meet again.
    await sleep(randomInt(1, 4 + Math.min(lost * 4, 60)), signal);
  }
  throw new AppError("unavailable", `cannot ${what}: others kept changing the same records`, {
    remedy: "Try again.",
  });
}
