import { prefixEnd } from "../convert.ts";
import type { Datastore, KeyValue, Op, RangeResult } from "../datastore.ts";
import { patient } from "../patient.ts";

/** etcd takes 128 operations and 1.5 MiB in one transaction. */
export const maxOps = 100;
const maxBytes = 1024 * 1024;
/** Large, because a fsync per batch is what a copy waits for; small, because objects of Kubernetes reach 1.5 MiB. */
export const pageSize = 200;

export const everything = { prefix: "" } as const;

/** Half open. */
export interface KeySpan {
  readonly from: Uint8Array;
  readonly end: Uint8Array;
}

/** A zero byte as the end stands for the end of all keys. */
export const everywhere: readonly KeySpan[] = [{ from: new Uint8Array([0]), end: new Uint8Array([0]) }];

/** In the order of keys. */
export const below = (prefixes: readonly string[]): readonly KeySpan[] =>
  prefixes
    .map((prefix) => Buffer.from(prefix))
    .sort((a, b) => a.compare(b))
    .map((from) => ({ from, end: prefixEnd(from) }));

/** Of a key as that of a map. */
export const nameOf = (key: Uint8Array): string => Buffer.from(key).toString("latin1");

/** One write to come, with what it weighs. */
export interface Write {
  readonly key: Uint8Array;
  /** Undefined: a deletion. */
  readonly value: Uint8Array | undefined;
  readonly lease?: bigint;
}

/** Takes writes from the front of the queue until a transaction is full. */
export function takeBatch(queue: Iterable<Write>): Write[] {
  const batch: Write[] = [];
  let bytes = 0;
  for (const write of queue) {
    bytes += write.key.length + (write.value?.length ?? 0);
    if (batch.length === maxOps || (batch.length > 0 && bytes > maxBytes)) break;
    batch.push(write);
  }
  return batch;
}

/** One transaction: all of the batch or nothing. Doing it again does no harm. */
export async function writeBatch(target: Datastore, batch: readonly Write[], signal: AbortSignal): Promise<void> {
  const success = batch.map(
    ({ key, value, lease }): Op =>
      value === undefined
        ? { op: "delete", range: { key } }
        : { op: "put", key, value, ...(lease === undefined ? {} : { lease }) },
  );
  await target.txn({ success }, patient(signal));
}

export async function writeAll(target: Datastore, writes: readonly Write[], signal: AbortSignal): Promise<void> {
  for (let at = 0; at < writes.length; ) {
    const batch = takeBatch(writes.slice(at, at + maxOps));
    await writeBatch(target, batch, signal);
    at += batch.length;
  }
}

/** In no order, some at a time; those in flight share the way and the fsync. */
export async function inFlight<T>(most: number, items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const waiting = items[Symbol.iterator]();
  // After a failure nothing more is begun.
  let failed = false;
  const workOff = async (): Promise<void> => {
    for (let next = waiting.next(); !next.done && !failed; next = waiting.next()) await work(next.value);
  };
  await Promise.all(
    Array.from({ length: most }, () =>
      workOff().catch((error: unknown) => {
        failed = true;
        throw error;
      }),
    ),
  );
}

export function* parts<T>(list: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < list.length; at += size) yield list.slice(at, at + size);
}

interface Look {
  /** In the order of keys; default: everywhere. */
  readonly spans?: readonly KeySpan[];
  readonly revision?: number;
  readonly keysOnly?: boolean;
  readonly signal: AbortSignal;
}

/** Keys in their order, page by page; the next one is on its way while one is looked at. */
export async function* pages(store: Datastore, look: Look): AsyncGenerator<readonly KeyValue[]> {
  for (const span of look.spans ?? everywhere) yield* pagesOf(store, span, look);
}

async function* pagesOf(store: Datastore, { from, end }: KeySpan, look: Look): AsyncGenerator<readonly KeyValue[]> {
  const { revision = 0, keysOnly = false, signal } = look;
  const limit = keysOnly ? pageSize * 50 : pageSize;
  const read = (at: Uint8Array): Promise<RangeResult> => {
    const page = store.range({ from: at, end }, { revision, keysOnly, limit, ...patient(signal) });
    page.catch(() => {
      // Whoever looks at it gets it; nobody may want it any more.
    });
    return page;
  };
  for (let reading: Promise<RangeResult> | undefined = read(from); reading !== undefined; ) {
    const { kvs, more }: RangeResult = await reading;
    const last = kvs.at(-1);
    reading = more && last !== undefined ? read(new Uint8Array([...last.key, 0])) : undefined;
    if (kvs.length > 0) yield kvs;
  }
}
