import type {
  Compare,
  Key,
  KeyRange,
  KeyValue,
  Op,
  OpResult,
  RangeResult,
  RangeSelection,
  Txn,
  TxnResult,
  WatchEvent,
} from "./datastore.ts";
import type * as wire from "./gen/etcd.ts";
import { compareResult, compareTarget, eventType, sortOrder, sortTarget } from "./wire.ts";

const noBytes = new Uint8Array(0);
const everythingAfter = new Uint8Array([0]);

export const keyBytes = (key: Key): Uint8Array => (typeof key === "string" ? Buffer.from(key) : key);

/** The first key after all keys with this prefix; a single zero byte where there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  for (let at = prefix.length - 1; at >= 0; at--) {
    const byte = prefix[at] ?? 0;
    if (byte === 0xff) continue;
    const end = Uint8Array.from(prefix.subarray(0, at + 1));
    end[at] = byte + 1;
    return end;
  }
  return everythingAfter;
}

export function rangeKeys(range: KeyRange): { key: Uint8Array; rangeEnd: Uint8Array } {
  if ("key" in range) return { key: keyBytes(range.key), rangeEnd: noBytes };
  if ("from" in range) return { key: keyBytes(range.from), rangeEnd: keyBytes(range.end) };
  const prefix = keyBytes(range.prefix);
  return { key: prefix.length === 0 ? everythingAfter : prefix, rangeEnd: prefixEnd(prefix) };
}

export function rangeRequest(range: KeyRange, select: RangeSelection = {}): wire.RangeRequest {
  return {
    ...rangeKeys(range),
    limit: select.limit ?? 0,
    revision: select.revision ?? 0,
    sortOrder: select.sort ? sortOrder[select.sort.order] : sortOrder.none,
    sortTarget: select.sort ? sortTarget[select.sort.by] : sortTarget.key,
    serializable: select.serializable ?? false,
    keysOnly: select.keysOnly ?? false,
    countOnly: select.countOnly ?? false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  };
}

export function rangeResult(response: wire.RangeResponse): RangeResult {
  return {
    revision: response.header?.revision ?? 0,
    kvs: response.kvs,
    count: response.count,
    more: response.more,
  };
}

export function txnRequest(txn: Txn): wire.TxnRequest {
  return {
    compare: (txn.compare ?? []).map(compareRequest),
    success: (txn.success ?? []).map(opRequest),
    failure: (txn.failure ?? []).map(opRequest),
  };
}

const signs = {
  "=": compareResult.equal,
  "!=": compareResult.notEqual,
  "<": compareResult.less,
  ">": compareResult.greater,
} as const;

function compareRequest(compare: Compare): wire.Compare {
  return {
    key: keyBytes(compare.key),
    rangeEnd: noBytes,
    result: signs[compare.is],
    target: compareTarget[compare.target],
    targetUnion: operand(compare),
  };
}

function operand(compare: Compare): wire.Compare["targetUnion"] {
  switch (compare.target) {
    case "value":
      return { $case: "value", value: keyBytes(compare.to) };
    case "version":
      return { $case: "version", value: BigInt(compare.to) };
    case "create":
      return { $case: "createRevision", value: BigInt(compare.to) };
    case "mod":
      return { $case: "modRevision", value: BigInt(compare.to) };
    case "lease":
      return { $case: "lease", value: compare.to };
  }
}

function opRequest(op: Op): wire.RequestOp {
  switch (op.op) {
    case "put": {
      const value = {
        key: keyBytes(op.key),
        value: keyBytes(op.value),
        lease: op.lease ?? 0n,
        prevKv: op.prevKv ?? false,
        ignoreValue: false,
        ignoreLease: false,
      };
      return { request: { $case: "requestPut", value } };
    }
    case "lease": {
      const value = { key: keyBytes(op.key), value: keyBytes(""), lease: op.lease, prevKv: false };
      return { request: { $case: "requestPut", value: { ...value, ignoreValue: true, ignoreLease: false } } };
    }
    case "delete": {
      const value = { ...rangeKeys(op.range), prevKv: op.prevKv ?? false };
      return { request: { $case: "requestDeleteRange", value } };
    }
    case "range":
      return { request: { $case: "requestRange", value: rangeRequest(op.range, op.select) } };
    case "txn":
      return { request: { $case: "requestTxn", value: txnRequest(op.txn) } };
  }
}

export function txnResult(response: wire.TxnResponse): TxnResult {
  return {
    revision: response.header?.revision ?? 0,
    succeeded: response.succeeded,
    results: response.responses.map(opResult),
  };
}

function opResult({ response }: wire.ResponseOp): OpResult {
  switch (response?.$case) {
    case "responsePut":
      return { op: "put", prevKv: response.value.prevKv };
    case "responseDeleteRange":
      return { op: "delete", deleted: response.value.deleted, prevKvs: response.value.prevKvs };
    case "responseRange":
      return { op: "range", ...rangeResult(response.value) };
    case "responseTxn":
      return { op: "txn", ...txnResult(response.value) };
    case undefined:
      throw new Error("transaction answer without a result");
  }
}

export function watchEvent(event: wire.Event): WatchEvent {
  const kv: KeyValue | undefined = event.kv;
  if (!kv) throw new Error("watch event without a key");
  if (event.type === eventType.put) return { type: "put", kv, prevKv: event.prevKv };
  return { type: "delete", key: kv.key, revision: kv.modRevision, prevKv: event.prevKv };
}
