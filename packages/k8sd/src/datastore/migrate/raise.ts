import { AppError } from "../../lib/app-error.ts";
import type { Datastore, Revision } from "../datastore.ts";
import { patient } from "../patient.ts";
import { inFlight } from "./batches.ts";

/** Each put raises the revision by one, and many in flight share a fsync. */
const writesInFlight = 128;
const progressEvery = 1_000;
/** Beyond it the store has to be made with a higher revision: minutes of writes. */
const maxRaise = 2_000_000;
const scratch: Mark = { key: "raise-revision", value: "", stays: false };

/** What is written again and again. */
export interface Mark {
  readonly key: string;
  readonly value: string;
  readonly stays: boolean;
}

/** Why a store cannot come to a revision by writes. */
export function raiseProblem(
  missing: number,
  to: Revision,
): { readonly message: string; readonly remedy: string } | undefined {
  if (missing <= maxRaise) return undefined;
  return {
    message: `its revision is ${missing} below the source's`,
    remedy: `make it from an empty snapshot with etcdutl snapshot restore --bump-revision ${to} --mark-compacted`,
  };
}

/** Writes to a store until its revision is at least this high. */
export async function raiseRevision(
  store: Datastore,
  to: Revision,
  signal: AbortSignal,
  { key, value, stays }: Mark = scratch,
  progress?: (done: number, of: number) => void,
): Promise<void> {
  const at = async () => (await store.range({ key }, patient(signal))).revision;
  const missing = to - (await at());
  if (missing <= 0) return;
  const problem = raiseProblem(missing, to);
  if (problem !== undefined) {
    const { message, remedy } = problem;
    throw new AppError("conflict", `cannot copy to the datastore: ${message}`, { remedy });
  }
  let left = missing;
  await inFlight(writesInFlight, new Array(missing).keys(), async () => {
    left -= 1;
    if (left % progressEvery === 0) progress?.(missing - left, missing);
    await store.txn({ success: [{ op: "put", key, value }] }, patient(signal));
  });
  if (!stays) await store.txn({ success: [{ op: "delete", range: { key } }] }, patient(signal));
}
