import type { Compare, KeyValue } from "../gen/etcd.ts";
import { compareResult, compareTarget } from "../wire.ts";
import { keySpan } from "./key-range.ts";
import type { ReadView } from "./store.ts";

const noBytes = new Uint8Array(0);
/** What a key that does not exist compares as. */
const absent: KeyValue = { key: noBytes, value: noBytes, createRevision: 0, modRevision: 0, version: 0, lease: 0n };

/** True when all keys the compare addresses satisfy it. */
export function compareHolds(view: Pick<ReadView, "find" | "list">, compare: Compare): boolean {
  const span = keySpan(compare.key, compare.rangeEnd);
  const found = span.kind === "one" ? view.find(span.key) : view.list(span, -1);
  const kvs = found === undefined ? [] : Array.isArray(found) ? found : [found];
  // A missing value equals no value, not even the empty one.
  if (kvs.length === 0) return compare.target !== compareTarget.value && holdsFor(compare, absent);
  return kvs.every((kv) => holdsFor(compare, kv));
}

function holdsFor(compare: Compare, kv: KeyValue): boolean {
  const order = orderOf(compare, kv);
  switch (compare.result) {
    case compareResult.equal:
      return order === 0;
    case compareResult.notEqual:
      return order !== 0;
    case compareResult.greater:
      return order > 0;
    case compareResult.less:
      return order < 0;
    default:
      return true;
  }
}

/** The operand counts only if it is of the target's kind; otherwise it is zero, as absent fields are on the wire. */
function orderOf(compare: Compare, kv: KeyValue): number {
  const operand = compare.targetUnion;
  switch (compare.target) {
    case compareTarget.version:
      return kv.version - (operand?.$case === "version" ? Number(operand.value) : 0);
    case compareTarget.create:
      return kv.createRevision - (operand?.$case === "createRevision" ? Number(operand.value) : 0);
    case compareTarget.mod:
      return kv.modRevision - (operand?.$case === "modRevision" ? Number(operand.value) : 0);
    case compareTarget.value:
      return Buffer.compare(kv.value, operand?.$case === "value" ? operand.value : noBytes);
    case compareTarget.lease: {
      const lease = operand?.$case === "lease" ? operand.value : 0n;
      return kv.lease === lease ? 0 : kv.lease > lease ? 1 : -1;
    }
    default:
      return 0;
  }
}
