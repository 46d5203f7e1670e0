import { AppError } from "../../lib/app-error.ts";
import { neededPrefixes } from "../check-external.ts";
import type { Datastore } from "../datastore.ts";
import { patient } from "../patient.ts";
import type { Mark } from "./raise.ts";

/** Says in somebody else's datastore who brings a cluster's data; gone when it is there. */
export const claimKey = "k8sd/moving-in";

/** Nothing is taken away that was there before: first it is only looked. */
const looking = (id: string): string => `looks ${id}`;
const bringing = (id: string): string => `brings ${id}`;

/** What is written to raise the revision of a datastore that was claimed. */
export const claimMark = (id: string): Mark => ({ key: claimKey, value: bringing(id), stays: true });

/**
 * Takes an etcd of somebody else, which holds nothing of the kind. From here on all below our prefixes is this move's, and whoever
 * else looks finds it taken.
 */
export async function claim(store: Datastore, id: string, signal: AbortSignal): Promise<void> {
  if (!(await swap(store, undefined, looking(id), signal))) throw taken(await ownerOf(store, signal));
  const held = await heldBelow(store, signal);
  if (held > 1) {
    await swap(store, looking(id), undefined, signal);
    throw new AppError("conflict", `cannot copy to the datastore: it holds ${held - 1} keys already`, {
      remedy: "name an empty datastore; nothing is overwritten",
    });
  }
  if (!(await swap(store, looking(id), bringing(id), signal))) throw taken(await ownerOf(store, signal));
}

/** All that the move wrote goes, and nothing else. Again is no error. */
export async function clearClaimed(store: Datastore, id: string, signal: AbortSignal): Promise<void> {
  await swap(store, looking(id), undefined, signal);
  const compare = [{ key: claimKey, target: "value", is: "=", to: bringing(id) }] as const;
  const others = neededPrefixes.map((prefix) => ({ op: "delete", range: { prefix } }) as const);
  await store.txn({ compare, success: others }, patient(signal));
}

/** The data is there to stay. Again is no error. */
export async function releaseClaim(store: Datastore, id: string, signal: AbortSignal): Promise<void> {
  await swap(store, bringing(id), undefined, signal);
}

const taken = (owner: string | undefined): AppError =>
  new AppError(
    "conflict",
    `cannot copy to the datastore: another cluster moves in there (${owner ?? "it just left"})`,
    {
      remedy: `If that move was given up long ago, delete ${claimKey} and what lies below ${neededPrefixes.join(", ")}.`,
    },
  );

async function ownerOf(store: Datastore, signal: AbortSignal): Promise<string | undefined> {
  const { kvs } = await store.range({ key: claimKey }, patient(signal));
  return kvs[0] && Buffer.from(kvs[0].value).toString();
}

async function heldBelow(store: Datastore, signal: AbortSignal): Promise<number> {
  let held = 0;
  for (const prefix of neededPrefixes) {
    held += (await store.range({ prefix }, { countOnly: true, ...patient(signal) })).count;
  }
  return held;
}

/** @returns false where it is another */
async function swap(
  store: Datastore,
  seen: string | undefined,
  next: string | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const { succeeded } = await store.txn(
    {
      compare: [
        seen === undefined
          ? { key: claimKey, target: "version", is: "=", to: 0 }
          : { key: claimKey, target: "value", is: "=", to: seen },
      ],
      success: [
        next === undefined ? { op: "delete", range: { key: claimKey } } : { op: "put", key: claimKey, value: next },
      ],
    },
    patient(signal),
  );
  return succeeded;
}
