import type { Datastore } from "../../datastore/datastore.ts";
import { createLedgerStore } from "../ledger-store.ts";
import { sealKeyId, splitKeys } from "../seal.ts";
import type { Ring } from "./ring.ts";
import { type KeyRecord, sealRecordKey } from "./rotation.ts";

/**
 * What a snapshot holds may be sealed with a key that this node gave up since. It takes that key up again to open it, and leaves
 * it as after any change of the key: the node's own key goes on sealing. Should the restore be taken back, the key is one that
 * nobody announced, and the node forgets it.
 */
export async function takeSavedKeys(
  ring: Pick<Ring, "add" | "ids">,
  file: Uint8Array,
  restored: Datastore,
  signal: AbortSignal,
): Promise<void> {
  const saved = splitKeys(file);
  for (const key of saved) await ring.add(key);
  const [seals = ""] = await ring.ids();
  const [leaving = seals] = saved.map(sealKeyId);
  if (leaving === seals) return;
  const store = createLedgerStore(restored);
  const seen = await store.read<KeyRecord>(sealRecordKey, signal);
  const value: KeyRecord = { seals, leaving };
  await store.swap([{ key: sealRecordKey, seen }], [{ key: sealRecordKey, value }], signal);
}
