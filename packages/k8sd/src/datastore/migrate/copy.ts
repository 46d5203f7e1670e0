import { AppError } from "../../lib/app-error.ts";
import type { Datastore, Revision } from "../datastore.ts";
import { patient } from "../patient.ts";
import { everything, writeBatch } from "./batches.ts";
import { type ChangeLog, followChanges } from "./change-log.ts";
import { refuseOvertaken, sameContent } from "./compare.ts";
import { copyKeys } from "./copy-keys.ts";
import { createDigests, type Digests, keysOf } from "./digests.ts";
import { attachLeases, copyLeases } from "./leases.ts";
import { raiseRevision } from "./raise.ts";
import type { StoreAccess } from "./store-access.ts";

export interface CopyOptions {
  readonly source: StoreAccess;
  /** Empty. A revision far above the source's saves the writes that raise it. */
  readonly target: StoreAccess;
  readonly signal: AbortSignal;
  /** Revisions that the source may use while it is copied. Default 100,000. */
  readonly margin?: number;
  readonly progress?: (copied: number, total: number) => void;
}

export interface CopyReport {
  readonly keys: number;
  readonly leases: number;
  /** SHA-256 over every key, the SHA-256 of its value and its lease. */
  readonly hash: string;
  /** The source's last one; all of the target's lie above. */
  readonly sourceRevision: Revision;
  /** What is older is answered with "compacted". */
  readonly targetRevision: Revision;
  /** From the call of `finish` to its end. */
  readonly finishMs: number;
}

/** A copy that follows its source. */
export interface Copy extends AsyncDisposable {
  /**
   * Call it once nobody writes to the source any more; the target is complete and verified when it resolves.
   * @param moved the source as it is reached now, where that has changed
   */
  finish(moved?: StoreAccess): Promise<CopyReport>;
}

const defaultMargin = 100_000;
/** A source that is written to faster than this many rounds can follow leaves the rest to the pause. */
const followRounds = 20;

/** Resolves when the target is nearly as new as the source, which serves on meanwhile. Dispose it to stop following. */
export async function startCopy(options: CopyOptions): Promise<Copy> {
  const { source, target } = options;
  const over = new AbortController();
  const signal = AbortSignal.any([options.signal, over.signal]);
  try {
    await refuseContent(target.data, signal);
    const started = await revisionOf(source.data, signal);
    await raiseRevision(target.data, started + (options.margin ?? defaultMargin), signal);
    const floor = await revisionOf(target.data, signal);
    // Whatever changes while the keys are read is in the log, so they need not be of one revision.
    const log = followChanges(source.data, started, signal);
    await load(options, signal);
    await catchUp(source.data, target.data, log, signal);
    // Values are read and compared now as far as they go: in the pause only what changes from here on.
    const known = { source: createDigests(), target: createDigests() };
    await Promise.all([known.source.learn(source.data, signal), known.target.learn(target.data, signal)]);
    await catchUp(source.data, target.data, log, signal);
    return {
      finish: (moved = source) => finish({ source: moved, target, log, floor, known, signal }),
      async [Symbol.asyncDispose]() {
        over.abort();
      },
    };
  } catch (error) {
    over.abort();
    throw error;
  }
}

interface Running {
  readonly source: StoreAccess;
  readonly target: StoreAccess;
  readonly log: ChangeLog;
  readonly floor: Revision;
  readonly known: { readonly source: Digests; readonly target: Digests };
  readonly signal: AbortSignal;
}

async function finish({ source, target, log, floor, known, signal }: Running): Promise<CopyReport> {
  const startedAt = performance.now();
  const last = await revisionOf(source.data, signal);
  refuseOvertaken(last, floor);
  // What the log had not heard of before the source moved is asked for anew.
  await drain(log, target.data, signal);
  if (log.seen() < last) await follow(followChanges(source.data, log.seen(), signal), target.data, last, signal);
  const leases = await copyLeases(source, target, signal);
  const listed = await keysOf(source.data, last, signal);
  await attachLeases(listed, leases, target.data, signal);
  const { keys, hash } = await sameContent(
    known.source.contentOf(source.data, listed, last, signal),
    keysOf(target.data, 0, signal).then((copied) => known.target.contentOf(target.data, copied, 0, signal)),
  );
  const targetRevision = await revisionOf(target.data, signal);
  // A store that was made compacted and got nothing refuses to be compacted there again, and needs not to be.
  if (targetRevision > floor) await target.data.compact(targetRevision, patient(signal));
  const finishMs = Math.round(performance.now() - startedAt);
  return { keys, leases: leases.granted(), hash, sourceRevision: last, targetRevision, finishMs };
}

async function load({ source, target, progress }: CopyOptions, signal: AbortSignal): Promise<void> {
  const found = await keysOf(source.data, 0, signal);
  await copyKeys(found, { source: source.data, target: target.data, revision: 0, signal, progress });
}

/** Until what is missing is little. */
async function catchUp(source: Datastore, target: Datastore, log: ChangeLog, signal: AbortSignal): Promise<void> {
  for (let round = 0; round < followRounds; round++) {
    await follow(log, target, await revisionOf(source, signal), signal);
    if ((await revisionOf(source, signal)) - log.seen() < 100) return;
  }
}

/** Writes what changed until the target knows all up to a revision. */
async function follow(log: ChangeLog, target: Datastore, upTo: Revision, signal: AbortSignal): Promise<void> {
  for (;;) {
    await drain(log, target, signal);
    if (log.seen() >= upTo) return;
    await within(log.changed());
  }
}

async function drain(log: ChangeLog, target: Datastore, signal: AbortSignal): Promise<void> {
  while (log.size() > 0) await writeBatch(target, log.take(), signal);
}

const quietMs = 30_000;

/** Each change arrives at once; silence means that the source does not answer. */
async function within(change: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const text = "cannot copy the datastore: its changes do not arrive";
    timer = setTimeout(() => reject(new AppError("timeout", text, { remedy: "check the datastore's load" })), quietMs);
  });
  try {
    await Promise.race([change, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function refuseContent(target: Datastore, signal: AbortSignal): Promise<void> {
  const { count } = await target.range(everything, { limit: 1, keysOnly: true, ...patient(signal) });
  if (count === 0) return;
  throw new AppError("conflict", `cannot copy to the datastore: it holds ${count} keys already`, {
    remedy: "name an empty datastore; nothing is overwritten",
  });
}

async function revisionOf(store: Datastore, signal: AbortSignal): Promise<Revision> {
  return (await store.range(everything, { countOnly: true, ...patient(signal) })).revision;
}
