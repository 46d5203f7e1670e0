import { isKind } from "../lib/app-error.ts";
import type { Datastore, Revision } from "./datastore.ts";
import { patient } from "./patient.ts";

/** An etcd of somebody else tells its state to its administrators alone. @returns undefined where we are none */
export async function ifTold<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isKind(error, "forbidden")) return undefined;
    throw error;
  }
}

/** The revision of a store of which we may read our own keys alone. */
export async function revisionSeen(store: Pick<Datastore, "range">, signal: AbortSignal): Promise<Revision> {
  return (await store.range({ prefix: "k8sd/" }, { countOnly: true, ...patient(signal) })).revision;
}
