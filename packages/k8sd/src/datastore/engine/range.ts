import type { KeyValue, RangeRequest, RangeResponse } from "../gen/etcd.ts";
import { sortOrder, sortTarget } from "../wire.ts";
import type { PackedKeyValues } from "./encode.ts";
import { etcdErrors } from "./etcd-error.ts";
import { type KeySpan, keySpan } from "./key-range.ts";
import type { ReadView } from "./store.ts";

const unlimited = -1;
const noBytes = new Uint8Array(0);

/** The answer to a range; long lists come packed, which takes a third of the time. */
export interface RangeAnswer extends RangeResponse {
  packed?: PackedKeyValues;
}

export function executeRange(view: ReadView, request: RangeRequest): RangeAnswer {
  const current = view.revision();
  if (request.revision > current) throw etcdErrors.futureRevision();
  const at = request.revision > 0 ? request.revision : current;
  if (at < view.compactRevision()) throw etcdErrors.compacted();
  const header = { clusterId: 0n, memberId: 0n, revision: current, raftTerm: 0 };
  const span = keySpan(request.key, request.rangeEnd);
  const count = () => (at === current ? view.count(span) : view.countAt(span, at));
  if (request.countOnly) return { header, kvs: [], more: false, count: count() };

  const packed =
    span.kind !== "one" && isPlain(request) ? readPacked(view, span, at, current, request.limit) : undefined;
  if (packed) {
    const { pages, found } = packed;
    const more = request.limit > 0 && found > request.limit;
    const length = more ? request.limit : found;
    return { header, kvs: [], packed: { pages, length }, more, count: more ? count() : found };
  }

  const limit = needsWholeRange(request) || request.limit <= 0 ? unlimited : request.limit + 1;
  const found = read(view, span, at, current, limit);
  const total = limit !== unlimited && found.length === limit ? count() : found.length;
  let kvs = sorted(filtered(found, request), request);
  const more = request.limit > 0 && kvs.length > request.limit;
  if (more) kvs = kvs.slice(0, request.limit);
  if (request.keysOnly) kvs = kvs.map((kv) => ({ ...kv, value: noBytes }));
  return { header, kvs, more, count: total };
}

function read(view: ReadView, span: KeySpan, at: number, current: number, limit: number): KeyValue[] {
  if (at !== current) return view.listAt(span, at, limit);
  if (span.kind !== "one") return view.list(span, limit);
  const kv = view.find(span.key);
  return kv ? [kv] : [];
}

function readPacked(view: ReadView, span: KeySpan, at: number, current: number, limit: number) {
  const most = limit > 0 ? limit + 1 : unlimited;
  const pages = at === current ? view.packed?.(span, most) : view.packedAt?.(span, at, most);
  return pages && { pages, found: pages.reduce((sum, page) => sum + page.ids.length, 0) };
}

/** All of each row, in the order of keys. */
function isPlain(request: RangeRequest): boolean {
  return !request.keysOnly && request.sortTarget === sortTarget.key && !needsWholeRange(request);
}

function needsWholeRange(request: RangeRequest): boolean {
  return (
    request.sortOrder !== sortOrder.none ||
    request.minModRevision !== 0 ||
    request.maxModRevision !== 0 ||
    request.minCreateRevision !== 0 ||
    request.maxCreateRevision !== 0
  );
}

function filtered(kvs: KeyValue[], request: RangeRequest): KeyValue[] {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  if (!minModRevision && !maxModRevision && !minCreateRevision && !maxCreateRevision) return kvs;
  return kvs.filter(
    (kv) =>
      (maxModRevision === 0 || kv.modRevision <= maxModRevision) &&
      (minModRevision === 0 || kv.modRevision >= minModRevision) &&
      (maxCreateRevision === 0 || kv.createRevision <= maxCreateRevision) &&
      (minCreateRevision === 0 || kv.createRevision >= minCreateRevision),
  );
}

const comparators: Readonly<Record<number, (a: KeyValue, b: KeyValue) => number>> = {
  [sortTarget.key]: (a, b) => Buffer.compare(a.key, b.key),
  [sortTarget.version]: (a, b) => a.version - b.version,
  [sortTarget.create]: (a, b) => a.createRevision - b.createRevision,
  [sortTarget.mod]: (a, b) => a.modRevision - b.modRevision,
  [sortTarget.value]: (a, b) => Buffer.compare(a.value, b.value),
};

/** Rows come in key order; another target without an order means ascending, as in etcd. */
function sorted(kvs: KeyValue[], request: RangeRequest): KeyValue[] {
  const compare = comparators[request.sortTarget];
  if (compare === undefined || kvs.length < 2) return kvs;
  if (request.sortOrder === sortOrder.descend) return kvs.toSorted((a, b) => compare(b, a));
  return request.sortTarget === sortTarget.key ? kvs : kvs.toSorted(compare);
}
