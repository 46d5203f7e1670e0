import { AppError } from "../../lib/app-error.ts";
import { neededPrefixes } from "../check-external.ts";
import { isCompacted } from "../client-errors.ts";
import { prefixEnd } from "../convert.ts";
import type { Datastore, KeyValue, Revision } from "../datastore.ts";
import { patient } from "../patient.ts";
import { revisionSeen } from "../told.ts";
import { type KeySpan, pages, type Write, writeAll } from "./batches.ts";
import { claimKey, claimMark } from "./claim.ts";
import type { Copy, CopyReport } from "./copy.ts";
import { readKeys } from "./digests.ts";
import { type Content, createFingerprint, sameOrder } from "./fingerprint.ts";
import { copyLeases, copyTheseLeases, type LeaseCopier } from "./leases.ts";
import { raiseRevision } from "./raise.ts";
import type { StoreAccess } from "./store-access.ts";

export interface SharedCopyOptions {
  readonly source: StoreAccess;
  /** Empty below our prefixes. */
  readonly target: StoreAccess;
  /** Which of the two is somebody else's, who may use it for more than this cluster. */
  readonly shared: "source" | "target";
  /** Of the target, where it is shared: who claimed it. */
  readonly claimant: string;
  readonly signal: AbortSignal;
  /** Revisions that the source may use while it is copied. Default 25,000. */
  readonly margin?: number;
  readonly progress?: (done: number, total: number, of: "keys" | "revisions") => void;
}

interface Seen {
  readonly key: Uint8Array;
  readonly modRevision: Revision;
  readonly lease: bigint;
}

/** Each is a write where it has to be raised: ten seconds or so. */
const defaultMargin = 25_000;
/** A source that is written to faster than this many rounds can follow leaves the rest to the pause. */
const followRounds = 20;
const nearlyEqual = 100;
const readAtOnce = 50;

/** What is ours of a datastore, in the order of keys. */
const spans: readonly KeySpan[] = neededPrefixes
  .map((prefix) => Buffer.from(prefix))
  .sort((a, b) => a.compare(b))
  .map((from) => ({ from, end: prefixEnd(from) }));

/**
 * A copy from or to an etcd of somebody else: of our keys alone. It is read again and again instead of watched, because the
 * certificate need not let us watch all of it, and only a watch of everything tells how far it has come.
 */
export async function startSharedCopy(options: SharedCopyOptions): Promise<Copy> {
  const { source, target, signal, claimant } = options;
  if (options.shared === "target") {
    const to = (await revisionSeen(source.data, signal)) + (options.margin ?? defaultMargin);
    const told = (done: number, of: number): void => options.progress?.(done, of, "revisions");
    await raiseRevision(target.data, to, signal, claimMark(claimant), told);
  }
  const floor = await revisionSeen(target.data, signal);
  const follower = createFollower(options);
  for (let round = 0; round < followRounds; round++) {
    if ((await follower.round(signal)) < nearlyEqual) break;
  }
  return {
    finish: (moved = source) => finish({ ...options, source: moved }, follower, floor),
    async [Symbol.asyncDispose]() {
      // Nothing goes on between its calls.
    },
  };
}

/** Brings the target what changed since it last looked; what is left of each key, in the order of the last changes. */
function createFollower({ source: first, target, progress }: SharedCopyOptions) {
  let known: ReadonlyMap<string, Seen> = new Map();
  let since = 0;
  return {
    known: () => [...known.values()],
    /** @returns how many keys it wrote */
    async round(signal: AbortSignal, source: StoreAccess = first): Promise<number> {
      const at = await revisionSeen(source.data, signal);
      const found = await keysOf(source.data, signal);
      const gone = [...known].flatMap(([name, { key }]) => (found.has(name) ? [] : [{ key, value: undefined }]));
      const changed = [...found.values()].filter(({ modRevision }) => modRevision > since);
      changed.sort((a, b) => a.modRevision - b.modRevision);
      await writeAll(target.data, gone, signal);
      for (let from = 0; from < changed.length; from += readAtOnce) {
        const part = await readKeys(source.data, changed.slice(from, from + readAtOnce), 0, signal);
        await writeAll(target.data, part.map(withoutLease), signal);
        if (since === 0) progress?.(Math.min(from + readAtOnce, changed.length), changed.length, "keys");
      }
      known = found;
      since = at;
      return gone.length + changed.length;
    },
  };
}

async function finish(
  { source, target, shared, signal }: SharedCopyOptions,
  follower: ReturnType<typeof createFollower>,
  floor: Revision,
): Promise<CopyReport> {
  const startedAt = performance.now();
  await follower.round(signal, source);
  const last = await revisionSeen(source.data, signal);
  if (last >= floor) {
    throw new AppError(
      "conflict",
      `cannot copy the datastore: it reached revision ${last}, and its copy began at ${floor}`,
      { remedy: "try again when less is written" },
    );
  }
  const leased = follower.known().filter(({ lease }) => lease !== 0n);
  const leases = await leasesFor(leased, { source, target, shared, signal });
  for (let at = 0; at < leased.length; at += readAtOnce) {
    const writes = await readKeys(source.data, leased.slice(at, at + readAtOnce), last, signal);
    for (const { lease } of writes) await leases.need(lease);
    await writeAll(target.data, writes, signal);
  }
  const [original, copied] = await Promise.all([
    fingerprintOf(source.data, last, signal),
    fingerprintOf(target.data, 0, signal),
  ]);
  const { keys, hash } = copied;
  if (hash !== original.hash || !sameOrder(original.revisions, copied.revisions)) {
    throw new AppError("internal", "cannot copy the datastore: the copy differs from its source", {
      remedy: "see that nobody else writes to the target, and try again",
      details: { keys, sourceKeys: original.keys, hash, sourceHash: original.hash },
    });
  }
  await refuseChanges(source.data, { last, keys: original.keys }, signal);
  const targetRevision = await revisionSeen(target.data, signal);
  // Clients know revisions of the source alone, which all lie below: what others did meanwhile stays readable to them.
  await target.data.compact(floor, patient(signal)).catch((error: unknown) => {
    if (!isCompacted(error)) throw error;
  });
  const finishMs = Math.round(performance.now() - startedAt);
  return { keys, leases: leases.granted(), hash, sourceRevision: last, targetRevision, finishMs };
}

/** Nobody can be kept out of an etcd of somebody else: whoever wrote in the pause beside kube-apiserver and k8sd is found. */
async function refuseChanges(
  source: Datastore,
  { last, keys }: { readonly last: Revision; readonly keys: number },
  signal: AbortSignal,
): Promise<void> {
  const now = await keysOf(source, signal);
  const late = [...now.values()].find(({ modRevision }) => modRevision > last);
  if (late === undefined && now.size === keys) return;
  const what = late === undefined ? "a key went" : `${Buffer.from(late.key).toString()} changed`;
  throw new AppError("conflict", `cannot copy the datastore: it is written to while writes are paused: ${what}`, {
    remedy: `see that nobody but this cluster writes below ${neededPrefixes.join(", ")}, and try again`,
  });
}

/** Of a shared source, those of our keys; others' leases are not ours to copy. */
function leasesFor(
  leased: readonly Seen[],
  { source, target, shared, signal }: Pick<SharedCopyOptions, "source" | "target" | "shared" | "signal">,
): Promise<LeaseCopier> {
  if (shared === "target") return copyLeases(source, claiming(target), signal);
  return copyTheseLeases([...new Set(leased.map(({ lease }) => lease))], source, target, signal);
}

/** A move that was taken back may have left leases that no key has any more. */
function claiming(target: StoreAccess): StoreAccess {
  return {
    ...target,
    async grant(lease, seconds, call) {
      try {
        await target.grant(lease, seconds, call);
      } catch (error) {
        const there = error instanceof AppError && error.kind === "conflict";
        if (!there || !(await target.revokeUnused(lease, call))) throw error;
        await target.grant(lease, seconds, call);
      }
    },
  };
}

/** By their names; not the claim, which only the target has. */
async function keysOf(store: Datastore, signal: AbortSignal): Promise<ReadonlyMap<string, Seen>> {
  const found = new Map<string, Seen>();
  for await (const { key, modRevision, lease } of ourKeys(store, { keysOnly: true, signal })) {
    found.set(Buffer.from(key).toString("latin1"), { key, modRevision, lease });
  }
  return found;
}

async function fingerprintOf(store: Datastore, revision: Revision, signal: AbortSignal): Promise<Content> {
  const fingerprint = createFingerprint();
  for await (const kv of ourKeys(store, { revision, signal })) fingerprint.add(kv);
  return fingerprint.result();
}

async function* ourKeys(
  store: Datastore,
  options: { readonly revision?: number; readonly keysOnly?: boolean; readonly signal: AbortSignal },
): AsyncGenerator<KeyValue> {
  for (const span of spans) {
    for await (const page of pages(store, { ...options, span })) {
      for (const kv of page) if (Buffer.compare(kv.key, claimBytes) !== 0) yield kv;
    }
  }
}

const claimBytes = Buffer.from(claimKey);

/** A lease that nobody renews here would run out while the copy lasts. */
const withoutLease = ({ key, value }: KeyValue): Write => ({ key, value });
