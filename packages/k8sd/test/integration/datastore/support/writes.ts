import type { Compare, Op, Txn } from "../../../../src/datastore/datastore.ts";

/** A transaction without a condition. */
export function always(...ops: Op[]): Txn {
  return { success: ops };
}

export function when(compare: Compare, ops: readonly Op[], otherwise: readonly Op[]): Txn {
  return { compare: [compare], success: ops, failure: otherwise };
}
