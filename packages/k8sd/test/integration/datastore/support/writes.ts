import type { Compare, Op, Txn } from "../../../../src/datastore/datastore.ts";

/** A transaction without a condition. */
export function always(...ops: Op[]): Txn {
  // biome-ignore lint/suspicious/noThenProperty: a list, not a function, so await does not take it for a promise
  return { then: ops };
}

export function when(compare: Compare, ops: readonly Op[], otherwise: readonly Op[]): Txn {
  // biome-ignore lint/suspicious/noThenProperty: as above
  return { if: [compare], then: ops, else: otherwise };
}
