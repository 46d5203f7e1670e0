import type { Datastore } from "../datastore/datastore.ts";
import { createRecords } from "./records.ts";

/** When the file of each member was written anew the last time, by name, in milliseconds since the Unix epoch. */
export type Defragmented = Readonly<Record<string, number>>;

const key = "k8sd/datastore/defragmented";

export async function readDefragmented(
  datastore: Pick<Datastore, "range" | "txn">,
  signal: AbortSignal,
): Promise<Defragmented> {
  return (await createRecords(datastore).get<Defragmented>(key, signal)) ?? {};
}

/** Only the node of the member that leads does it: nobody writes at the same time. */
export async function noteDefragmented(
  datastore: Pick<Datastore, "range" | "txn">,
  names: readonly string[],
  at: number,
  signal: AbortSignal,
): Promise<void> {
  if (names.length === 0) return;
  const known = await readDefragmented(datastore, signal);
  await createRecords(datastore).put(key, { ...known, ...Object.fromEntries(names.map((name) => [name, at])) }, signal);
}
