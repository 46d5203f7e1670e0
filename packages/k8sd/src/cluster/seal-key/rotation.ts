import type { SealKeyState } from "@k8sd/api-types";
import type { Datastore } from "../../datastore/datastore.ts";
import { AppError } from "../../lib/app-error.ts";
import { createExclusive } from "../../lib/exclusive.ts";
import { createLedger } from "../ledger.ts";
import { createLedgerStore, type LedgerStore, type Stored } from "../ledger-store.ts";
import { createSeal, sealedWith, sealKeyId } from "../seal.ts";
import { sealedSettings } from "../snapshot/settings.ts";
import type { Ring } from "./ring.ts";

export interface RotationDeps {
  readonly ring: Ring;
  readonly nodeId: () => string;
  readonly datastore: () => Promise<Datastore>;
  /** Keys that other control planes have, of those that answer. */
  readonly fetch: (signal: AbortSignal) => Promise<readonly Uint8Array[]>;
  /** Longer than any call that may still seal with the key that it read before. */
  readonly graceMs: number;
}

/** Which key seals, told by id; the keys themselves never enter the datastore. */
export interface KeyRecord {
  readonly seals: string;
  /** Every control plane gets it before it seals anything. */
  readonly coming?: string;
  /** Opens until nothing is left that it sealed. */
  readonly leaving?: string;
}

interface Holder {
  readonly nodeId: string;
  readonly holds: readonly string[];
  /** All that lies on its node is sealed with this one, and so is what it seals. */
  readonly seals: string;
}

export const sealRecordKey = "k8sd/seal/key";
const holdersPrefix = "k8sd/seal/holders/";

/**
 * One key of the seal follows another:
 *
 *   K1 seals ──rotate──► K1 seals, K2 coming ──all have K2──► K2 seals, K1 leaving ──nothing is K1's──► K2 seals
 *
 * Each control plane compares what it has with the record and does what is missing; any of them makes the next transition when
 * all are ready for it. A control plane that is away holds it up, so that nothing is ever sealed with a key that one of them
 * could lack, and no key is forgotten that somebody needs.
 */
export function createRotation(deps: RotationDeps) {
  const { ring } = deps;
  const turns = createExclusive();
  /** Since when this node knows that nothing is left of the leaving key. */
  let readyToForget: { readonly id: string; readonly at: number } | undefined;

  async function recordOf(store: LedgerStore, signal: AbortSignal): Promise<Stored<KeyRecord>> {
    const seen = await store.read<KeyRecord>(sealRecordKey, signal);
    if (seen !== undefined) return seen;
    const [seals = ""] = await ring.ids();
    const value: KeyRecord = { seals };
    await store.swap([{ key: sealRecordKey, seen: undefined }], [{ key: sealRecordKey, value }], signal);
    return recordOf(store, signal);
  }

  /** From other control planes, over connections that their keys open. */
  async function complete({ seals, coming }: KeyRecord, signal: AbortSignal): Promise<void> {
    const have = await ring.ids();
    const missing = new Set([seals, coming].filter((id) => id !== undefined && !have.includes(id)));
    if (missing.size === 0) return;
    for (const key of await deps.fetch(signal)) {
      if (missing.delete(sealKeyId(key))) await ring.add(key);
    }
    // One that comes has sealed nothing yet: this node is waited for.
    if (!missing.has(seals)) return;
    throw new AppError("unavailable", `cannot get the key ${seals} of the seal: nobody who has it answers`, {
      remedy: "It is asked for again. See that another control plane runs.",
    });
  }

  /** @returns whether all of the cluster's sealed values are sealed with this key */
  async function resealValues(store: LedgerStore, id: string, signal: AbortSignal): Promise<boolean> {
    const seal = createSeal(Buffer.concat([...(await ring.keys())]));
    let all = true;
    for (const key of sealedSettings) {
      const seen = await store.read<string>(key, signal);
      if (seen === undefined || sealedWith(seen.value) === id) continue;
      const value = seal.seal(seal.open(seen.value, key), key);
      all = (await store.swap([{ key, seen }], [{ key, value }], signal)) !== undefined && all;
    }
    return all;
  }

  async function noteOwn(store: LedgerStore, signal: AbortSignal): Promise<void> {
    const ids = await ring.ids();
    const own: Holder = { nodeId: deps.nodeId(), holds: ids, seals: ids[0] ?? "" };
    const key = `${holdersPrefix}${own.nodeId}`;
    const seen = await store.read<Holder>(key, signal);
    if (JSON.stringify(seen?.value) === JSON.stringify(own)) return;
    await store.swap([{ key, seen }], [{ key, value: own }], signal);
  }

  /** Names of control planes for which it does not hold. */
  async function lacking(store: LedgerStore, isReady: (holder: Holder) => boolean, signal: AbortSignal) {
    const [members, holders] = await Promise.all([
      createLedger(await deps.datastore()).members(signal),
      store.list<Holder>(holdersPrefix, signal),
    ]);
    const known = new Map(holders.map(({ value }) => [value.nodeId, value]));
    return members
      .filter(({ role, state }) => role === "control-plane" && (state === "active" || state === "leaving"))
      .filter(({ id }) => {
        const holder = known.get(id);
        return holder === undefined || !isReady(holder);
      })
      .map(({ name }) => name);
  }

  /** Nobody may still be about to write what the leaving key seals. */
  function isOver(leaving: string, everything: boolean): boolean {
    if (!everything) {
      readyToForget = undefined;
      return false;
    }
    if (readyToForget?.id !== leaving) readyToForget = { id: leaving, at: performance.now() };
    return performance.now() - readyToForget.at >= deps.graceMs;
  }

  async function transition(
    store: LedgerStore,
    seen: Stored<KeyRecord>,
    resealed: boolean,
    signal: AbortSignal,
  ): Promise<SealKeyState> {
    const { seals, coming, leaving } = seen.value;
    const next = (value: KeyRecord) =>
      store.swap([{ key: sealRecordKey, seen }], [{ key: sealRecordKey, value }], signal);
    if (coming !== undefined) {
      const waiting = await lacking(store, holds(coming), signal);
      if (waiting.length === 0) await next({ seals: coming, leaving: seals });
      return { id: seals, coming, "waiting-for": waiting };
    }
    if (leaving === undefined) return { id: seals, "waiting-for": [] };
    const waiting = await lacking(store, (holder) => holder.seals === seals, signal);
    if (isOver(leaving, resealed && waiting.length === 0)) await next({ seals });
    return { id: seals, leaving, "waiting-for": waiting };
  }

  /** All that this node can do now. */
  async function look(signal: AbortSignal): Promise<SealKeyState> {
    const store = createLedgerStore(await deps.datastore());
    const seen = await recordOf(store, signal);
    const { seals, coming, leaving } = seen.value;
    await complete(seen.value, signal);
    await ring.lead(seals);
    const resealed = await resealValues(store, seals, signal);
    // Also one that was made here and never announced.
    if (resealed && coming === undefined && leaving === undefined) {
      await ring.forget((await ring.ids()).filter((id) => id !== seals));
    }
    await noteOwn(store, signal);
    return transition(store, seen, resealed, signal);
  }

  /** Makes a new key; `follow` on all control planes does the rest. Where one is on its way already, that one counts. */
  async function begin(signal: AbortSignal): Promise<void> {
    await look(signal);
    const store = createLedgerStore(await deps.datastore());
    const seen = await recordOf(store, signal);
    const { seals, coming, leaving } = seen.value;
    // One that was announced by a node which is gone since is nowhere, and nothing is sealed with it.
    const lost = coming !== undefined && !(await ring.ids()).includes(coming);
    if (leaving !== undefined || (coming !== undefined && !lost)) return;
    // On the disk before anybody hears of it.
    const value: KeyRecord = { seals, coming: await ring.make() };
    await store.swap([{ key: sealRecordKey, seen }], [{ key: sealRecordKey, value }], signal);
  }

  return {
    // One after the other: what one of them makes the other one must not take for a leftover.
    follow: (signal: AbortSignal): Promise<SealKeyState> => turns.run("ring", signal, () => look(signal)),
    begin: (signal: AbortSignal): Promise<void> => turns.run("ring", signal, () => begin(signal)),

    /** As it stands, without a change. */
    async state(signal: AbortSignal): Promise<SealKeyState | undefined> {
      const store = createLedgerStore(await deps.datastore());
      const seen = await store.read<KeyRecord>(sealRecordKey, signal);
      if (seen === undefined) return undefined;
      const { seals, coming, leaving } = seen.value;
      const ready = coming === undefined ? (holder: Holder) => holder.seals === seals : holds(coming);
      return {
        id: seals,
        ...(coming === undefined ? {} : { coming }),
        ...(leaving === undefined ? {} : { leaving }),
        "waiting-for": coming === undefined && leaving === undefined ? [] : await lacking(store, ready, signal),
      };
    },
  };
}

const holds =
  (id: string) =>
  (holder: Holder): boolean =>
    holder.holds.includes(id);

/** One key follows another at the moment. */
export const isMoving = ({ coming, leaving }: SealKeyState): boolean => coming !== undefined || leaving !== undefined;
