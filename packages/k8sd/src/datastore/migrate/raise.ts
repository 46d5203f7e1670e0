import { AppError } from "../../lib/app-error.ts";
import type { Datastore, Revision } from "../datastore.ts";
import { patient } from "./batches.ts";

/** Each put raises the revision by one, and many in flight share a fsync. */
const inFlight = 128;
/** Beyond it the store has to be made with a higher revision: minutes of writes. */
const maxRaise = 2_000_000;
const scratch = "raise-revision";

/** Writes to an empty store until its revision is at least this high. */
export async function raiseRevision(store: Datastore, to: Revision, signal: AbortSignal): Promise<void> {
  const at = async () => (await store.range({ key: scratch }, patient(signal))).revision;
  const missing = to - (await at());
  if (missing <= 0) return;
  if (missing > maxRaise) {
    throw new AppError("conflict", `cannot copy to the datastore: its revision is ${missing} below the source's`, {
      remedy:
        "make it from an empty snapshot with etcdutl snapshot restore --bump-revision 1000000000 --mark-compacted",
    });
  }
  let left = missing;
  const write = async () => {
    while (left > 0) {
      left -= 1;
      await store.txn({ success: [{ op: "put", key: scratch, value: "" }] }, patient(signal));
    }
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, missing) }, write));
  await store.txn({ success: [{ op: "delete", range: { key: scratch } }] }, patient(signal));
}
