import { createHash } from "node:crypto";
import type { Datastore, KeyValue, Op, Revision } from "../datastore.ts";
import { patient } from "../patient.ts";
import { everywhere, inFlight, type KeySpan, nameOf, pageSize, pages } from "./batches.ts";
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
const readsInFlight = 4;

/** @param within where the keys are, and nothing else may be read */
export function createDigests(within: readonly KeySpan[] = everywhere): Digests {
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
      for await (const page of pages(store, { spans: within, signal })) page.forEach(remember);
    },
    async contentOf(store, listed, revision, signal) {
      const changed = spansOf(listed, within, (one) => digestOf(one) === undefined);
      await inFlight(readsInFlight, calls(changed), async (spans) => {
        const read = await readSpans(store, spans, revision, signal);
        read.forEach(remember);
      });
      const fingerprint = createFingerprint();
      for (const one of listed) {
        // What is gone between the list and the look is a difference.
        fingerprint.add({ ...one, value: Buffer.from(digestOf(one) ?? "") });
      }
      return fingerprint.result();
    },
  };
}

export async function keysOf(
  store: Datastore,
  revision: Revision,
  signal: AbortSignal,
  spans = everywhere,
): Promise<readonly Listed[]> {
  const found: Listed[] = [];
  for await (const page of pages(store, { spans, revision, keysOnly: true, signal })) {
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
  return readSpans(
    store,
    keys.map(({ key }) => ({ first: key, last: key })),
    revision,
    signal,
  );
}

/** Keys that follow each other, without others between them that may be read. */
interface Span {
  readonly first: Uint8Array;
  last: Uint8Array;
  keys: number;
}

/** What lies side by side is read at once, which costs much less than key by key. */
function spansOf(
  listed: readonly Listed[],
  within: readonly KeySpan[],
  wanted: (one: Listed) => boolean,
): readonly Span[] {
  const part = (key: Uint8Array): number => within.findLastIndex(({ from }) => Buffer.compare(from, key) <= 0);
  const spans: Span[] = [];
  let open: Span | undefined;
  for (const one of listed) {
    if (!wanted(one)) open = undefined;
    else if (open !== undefined && open.keys < pageSize && part(open.last) === part(one.key)) {
      open.last = one.key;
      open.keys += 1;
    } else {
      open = { first: one.key, last: one.key, keys: 1 };
      spans.push(open);
    }
  }
  return spans;
}

/** As many spans as go in one call. */
function* calls(spans: readonly Span[]): Generator<readonly Span[]> {
  let call: Span[] = [];
  let keys = 0;
  for (const span of spans) {
    if (call.length === readAtOnce || keys + span.keys > pageSize) {
      yield call;
      [call, keys] = [[], 0];
    }
    call.push(span);
    keys += span.keys;
  }
  if (call.length > 0) yield call;
}

async function readSpans(
  store: Datastore,
  spans: readonly Pick<Span, "first" | "last">[],
  revision: Revision,
  signal: AbortSignal,
): Promise<readonly KeyValue[]> {
  const success = spans.map(({ first, last }): Op => {
    const range = first === last ? { key: first } : { from: first, end: new Uint8Array([...last, 0]) };
    return { op: "range", range, select: { revision } };
  });
  const { results } = await store.txn({ success }, patient(signal));
  return results.flatMap((result) => (result.op === "range" ? result.kvs : []));
}
