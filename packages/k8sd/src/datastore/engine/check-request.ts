import type { DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest } from "../gen/etcd.ts";
import { etcdErrors } from "./etcd-error.ts";
import { type KeySpan, keyText, spanContains } from "./key-range.ts";

/** etcd's default for operations, and separately compares, in one transaction. */
const maxTxnOps = 128;

/** What can be refused by looking at the request alone, in etcd's order, so that the same error wins. */
export function checkRange(request: RangeRequest): void {
  if (request.key.length === 0) throw etcdErrors.emptyKey();
  const known = (value: number, last: number) => value >= 0 && value <= last;
  if (!known(request.sortOrder, 2) || !known(request.sortTarget, 4)) throw etcdErrors.invalidSortOption();
}

export function checkPut(request: PutRequest): void {
  if (request.key.length === 0) throw etcdErrors.emptyKey();
  if (request.ignoreValue && request.value.length !== 0) throw etcdErrors.valueProvided();
  if (request.ignoreLease && request.lease !== 0n) throw etcdErrors.leaseProvided();
}

export function checkDelete(request: DeleteRangeRequest): void {
  if (request.key.length === 0) throw etcdErrors.emptyKey();
}

export function checkTxn(request: TxnRequest): void {
  checkOps(request, maxTxnOps);
  collectIntervals(request.success);
  collectIntervals(request.failure);
}

function checkOps(request: TxnRequest, allowed: number): void {
  const most = Math.max(request.compare.length, request.success.length, request.failure.length);
  if (most > allowed) throw etcdErrors.tooManyOps();
  for (const compare of request.compare) {
    if (compare.key.length === 0) throw etcdErrors.emptyKey();
  }
  for (const op of [...request.success, ...request.failure]) checkOp(op, allowed - most);
}

function checkOp(op: RequestOp, allowed: number): void {
  switch (op.request?.$case) {
    case "requestRange":
      checkRange(op.request.value);
      return;
    case "requestPut":
      checkPut(op.request.value);
      return;
    case "requestDeleteRange":
      checkDelete(op.request.value);
      return;
    case "requestTxn":
      checkOps(op.request.value, allowed);
      return;
    case undefined:
      throw etcdErrors.keyNotFound();
  }
}

interface Intervals {
  readonly puts: Set<string>;
  readonly deletes: KeySpan[];
}

/** A key may be written once per transaction; the two branches of a nested one exclude each other and may share keys. */
function collectIntervals(ops: readonly RequestOp[]): Intervals {
  const puts = new Set<string>();
  const deletes: KeySpan[] = [];
  for (const { request } of ops) {
    if (request?.$case === "requestDeleteRange") deletes.push(deletedSpan(request.value));
  }
  const claim = (key: string) => {
    const bytes = Buffer.from(key, "latin1");
    if (puts.has(key) || deletes.some((span) => spanContains(span, bytes))) throw etcdErrors.duplicateKey();
  };
  for (const { request } of ops) {
    if (request?.$case !== "requestTxn") continue;
    const success = collectIntervals(request.value.success);
    const failure = collectIntervals(request.value.failure);
    for (const key of success.puts) claim(key);
    for (const key of failure.puts) if (!success.puts.has(key)) claim(key);
    for (const key of [...success.puts, ...failure.puts]) puts.add(key);
    deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const { request } of ops) {
    if (request?.$case !== "requestPut") continue;
    const key = keyText(request.value.key);
    claim(key);
    puts.add(key);
  }
  return { puts, deletes };
}

/** As etcd's check sees it: an end of one zero byte is taken literally here, so such a deletion overlaps nothing. */
function deletedSpan(request: DeleteRangeRequest): KeySpan {
  if (request.rangeEnd.length === 0) return { kind: "one", key: request.key };
  return { kind: "interval", key: request.key, end: request.rangeEnd };
}
