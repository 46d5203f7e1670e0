import { createHash } from "node:crypto";
import { AppError } from "../../lib/app-error.ts";
import { isCompacted } from "../client-errors.ts";
import type { KeyValue, Revision } from "../datastore.ts";
import { below, everything, inFlight, pages } from "../migrate/batches.ts";
import { keysOf } from "../migrate/digests.ts";
import type { StoreAccess } from "../migrate/store-access.ts";
import { patient } from "../patient.ts";
import type { SnapshotLease, SnapshotRecord } from "./records.ts";

/** A consistent view of a datastore that is written to meanwhile. */
export interface StoreView {
  readonly revision: Revision;
  readonly keys: number;
  /** Fails with `isCompacted` when the datastore forgot the revision. */
  records(secretsJson: string): AsyncIterable<SnapshotRecord>;
}

/** A request is 1.5 MiB at most, so an answer is 30 MB at most. */
const readAtOnce = 20;
const readsInFlight = 4;
const leasesInFlight = 64;
/** A few compactions at a bad moment are chance; more are not. */
const attempts = 3;

/**
 * Looks at the datastore as it is now. What is kept in memory is each key with 40 bytes, never the values.
 * @param prefixes what is the cluster's, where others keep theirs beside it and let it read no more; absent: everything
 */
export async function viewStore(
  store: StoreAccess,
  signal: AbortSignal,
  prefixes?: readonly string[],
): Promise<StoreView> {
  const call = patient(signal);
  const [prefix = ""] = prefixes ?? [];
  const { revision } = await store.data.range({ prefix }, { countOnly: true, ...call });
  // In the order of all keys, which the hash of a copy has.
  const listed = await keysOf(store.data, revision, signal, prefixes && below(prefixes));

  async function* records(secretsJson: string): AsyncGenerator<SnapshotRecord> {
    yield { kind: "secrets", json: secretsJson };
    const attached = new Set(listed.flatMap(({ lease }) => (lease === 0n ? [] : [lease])));
    const leases = await lives(prefixes === undefined ? await store.leases(call) : [...attached], store, signal);
    for (const lease of leases) yield { kind: "lease", ...lease };
    // A copy gets its keys in this order, so that theirs is the same.
    const order = listed.map((_, index) => index);
    order.sort((a, b) => (listed[a]?.modRevision ?? 0) - (listed[b]?.modRevision ?? 0) || a - b);
    const digests: Buffer[] = new Array(listed.length);
    for await (const { part, kvs } of readAhead(order)) {
      for (const [offset, kv] of kvs.entries()) {
        digests[part[offset] ?? 0] = digestOf(kv);
        yield { kind: "key", kv };
      }
    }
    const hash = createHash("sha256");
    for (const digest of digests) hash.update(digest);
    yield { kind: "end", keys: listed.length, leases: leases.length, hash: hash.digest("hex") };
  }

  /** The next ones are on their way while these are written. */
  async function* readAhead(order: readonly number[]) {
    const coming: { readonly part: readonly number[]; readonly kvs: Promise<readonly KeyValue[]> }[] = [];
    for (let at = 0; at < order.length || coming.length > 0; ) {
      for (; coming.length < readsInFlight && at < order.length; at += readAtOnce) {
        const part = order.slice(at, at + readAtOnce);
        const kvs = read(part);
        // Who waits for it hears of a failure; nobody may come to that.
        kvs.catch(() => {});
        coming.push({ part, kvs });
      }
      const next = coming.shift();
      if (next !== undefined) yield { part: next.part, kvs: await next.kvs };
    }
  }

  async function read(part: readonly number[]): Promise<readonly KeyValue[]> {
    const success = part.map((index) => {
      const key = listed[index]?.key ?? new Uint8Array();
      return { op: "range", range: { key }, select: { revision } } as const;
    });
    const { results } = await store.data.txn({ success }, call);
    const found = results.flatMap((result) => (result.op === "range" ? result.kvs : []));
    if (found.length === part.length) return found;
    throw new AppError("internal", `cannot take a snapshot: the datastore has two contents at revision ${revision}`);
  }

  return { revision, keys: listed.length, records };
}

/** Does it again with a view of a later revision when the datastore was compacted meanwhile. */
export async function withView<T>(
  store: StoreAccess,
  signal: AbortSignal,
  work: (view: StoreView) => Promise<T>,
  prefixes?: readonly string[],
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(await viewStore(store, signal, prefixes));
    } catch (error) {
      if (!isCompacted(error)) throw error;
      if (attempt < attempts) continue;
      throw new AppError(
        "conflict",
        `cannot take a snapshot: the datastore was compacted ${attempts} times before it was read`,
        { cause: error, retryable: true, remedy: "Try again when less is written, or compact less often." },
      );
    }
  }
}

/** The same for two datastores with the same keys, values and leases. */
export async function contentHash(store: StoreAccess, signal: AbortSignal): Promise<string> {
  const { revision } = await store.data.range(everything, { countOnly: true, ...patient(signal) });
  const hash = createHash("sha256");
  for await (const page of pages(store.data, { revision, signal })) {
    for (const kv of page) hash.update(digestOf(kv));
  }
  return hash.digest("hex");
}

/** With lengths, so that no two make the same bytes. */
function digestOf({ key, value, lease }: KeyValue): Buffer {
  return createHash("sha256").update(`${key.length}:${value.length}:${lease};`).update(key).update(value).digest();
}

async function lives(
  ids: readonly bigint[],
  store: StoreAccess,
  signal: AbortSignal,
): Promise<readonly SnapshotLease[]> {
  const call = patient(signal);
  const found: SnapshotLease[] = [];
  await inFlight(leasesInFlight, ids, async (id) => {
    const { secondsLeft, grantedSeconds } = await store.lifeOf(id, call);
    found.push({ id, grantedSeconds, secondsLeft: Math.max(secondsLeft, 0) });
  });
  return found.sort((a, b) => (a.id < b.id ? -1 : 1));
}
