import { AppError, isKind } from "../../lib/app-error.ts";
import { neededPrefixes } from "../check-external.ts";
import { isCompacted } from "../client-errors.ts";
import type { Datastore, Revision } from "../datastore.ts";
import { patient } from "../patient.ts";
import { revisionSeen } from "../told.ts";
import { below, nameOf, writeAll } from "./batches.ts";
import { claimKey, claimMark } from "./claim.ts";
import { refuseOvertaken, sameContent } from "./compare.ts";
import type { Copy, CopyReport } from "./copy.ts";
import { copyKeys } from "./copy-keys.ts";
import { createDigests, type Digests, keysOf, type Listed } from "./digests.ts";
import { attachLeases, copyLeases, copyTheseLeases, type LeaseCopier } from "./leases.ts";
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

/** Each is a write where it has to be raised: ten seconds or so. */
const defaultMargin = 25_000;
/** A source that is written to faster than this many rounds can follow leaves the rest to the pause. */
const followRounds = 20;
const nearlyEqual = 100;

/** What is ours of a datastore. */
const spans = below(neededPrefixes);

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
  const catchUp = async (): Promise<void> => {
    for (let round = 0; round < followRounds; round++) if ((await follower.round(signal)) < nearlyEqual) return;
  };
  await catchUp();
  // Values are read and compared now as far as they go: in the pause only what changes from here on.
  const known = { source: createDigests(spans), target: createDigests(spans) };
  await Promise.all([known.source.learn(source.data, signal), known.target.learn(target.data, signal)]);
  await catchUp();
  return {
    finish: (moved = source) => finish({ ...options, source: moved }, { follower, floor, known }),
    async [Symbol.asyncDispose]() {
      // Nothing goes on between its calls.
    },
  };
}

/** Brings the target what changed since it last looked; what is left of each key, in the order of the last changes. */
function createFollower({ source: first, target, progress }: SharedCopyOptions) {
  let known: ReadonlyMap<string, Listed> = new Map();
  let since = 0;

  /** @param revision of the source; 0: the last one */
  async function bring(found: readonly Listed[], source: StoreAccess, revision: Revision, signal: AbortSignal) {
    const names = new Map(found.map((one) => [nameOf(one.key), one]));
    const gone = [...known].flatMap(([name, { key }]) => (names.has(name) ? [] : [{ key, value: undefined }]));
    const changed = found.filter(({ modRevision }) => modRevision > since);
    await writeAll(target.data, gone, signal);
    const told = since === 0 ? (done: number, of: number): void => progress?.(done, of, "keys") : undefined;
    await copyKeys(changed, { source: source.data, target: target.data, revision, signal, progress: told });
    known = names;
    return gone.length + changed.length;
  }

  return {
    /** While the source is written to. @returns how many keys it wrote */
    async round(signal: AbortSignal): Promise<number> {
      const at = await revisionSeen(first.data, signal);
      const wrote = await bring(await ourKeys(first.data, 0, signal), first, 0, signal);
      since = at;
      return wrote;
    },
    /** All that the source holds at one revision. */
    async last(source: StoreAccess, signal: AbortSignal): Promise<Last> {
      const revision = await revisionSeen(source.data, signal);
      const listed = await ourKeys(source.data, revision, signal);
      await bring(listed, source, revision, signal);
      return { revision, listed };
    },
  };
}

interface Last {
  readonly revision: Revision;
  readonly listed: readonly Listed[];
}

interface Running {
  readonly follower: ReturnType<typeof createFollower>;
  readonly floor: Revision;
  readonly known: { readonly source: Digests; readonly target: Digests };
}

async function finish(
  { source, target, shared, signal }: SharedCopyOptions,
  { follower, floor, known }: Running,
): Promise<CopyReport> {
  const startedAt = performance.now();
  const last = await follower.last(source, signal);
  const { revision, listed } = last;
  refuseOvertaken(revision, floor);
  const leases = await leasesFor(listed, { source, target, shared, signal });
  await attachLeases(listed, leases, target.data, signal);
  const { keys, hash } = await sameContent(
    known.source.contentOf(source.data, listed, revision, signal),
    ourKeys(target.data, 0, signal).then((copied) => known.target.contentOf(target.data, copied, 0, signal)),
  );
  await refuseChanges(source.data, last, signal);
  const targetRevision = await revisionSeen(target.data, signal);
  // Clients know revisions of the source alone, which all lie below: what others did meanwhile stays readable to them.
  await target.data.compact(floor, patient(signal)).catch((error: unknown) => {
    if (!isCompacted(error)) throw error;
  });
  const finishMs = Math.round(performance.now() - startedAt);
  return { keys, leases: leases.granted(), hash, sourceRevision: revision, targetRevision, finishMs };
}

/** Nobody can be kept out of an etcd of somebody else: whoever wrote in the pause beside kube-apiserver and k8sd is found. */
async function refuseChanges(source: Datastore, { revision, listed }: Last, signal: AbortSignal): Promise<void> {
  const now = await ourKeys(source, 0, signal);
  const late = now.find(({ modRevision }) => modRevision > revision);
  if (late === undefined && now.length === listed.length) return;
  const what = late === undefined ? "a key went" : `${Buffer.from(late.key).toString()} changed`;
  throw new AppError("conflict", `cannot copy the datastore: it is written to while writes are paused: ${what}`, {
    remedy: `see that nobody but this cluster writes below ${neededPrefixes.join(", ")}, and try again`,
  });
}

/** Of a shared source, those of our keys; others' leases are not ours to copy. */
function leasesFor(
  listed: readonly Listed[],
  { source, target, shared, signal }: Pick<SharedCopyOptions, "source" | "target" | "shared" | "signal">,
): Promise<LeaseCopier> {
  if (shared === "target") return copyLeases(source, claiming(target), signal);
  const attached = new Set(listed.flatMap(({ lease }) => (lease === 0n ? [] : [lease])));
  return copyTheseLeases([...attached], source, target, signal);
}

/** A move that was taken back may have left leases that no key has any more. */
function claiming(target: StoreAccess): StoreAccess {
  return {
    ...target,
    async grant(lease, seconds, call) {
      try {
        await target.grant(lease, seconds, call);
      } catch (error) {
        const there = isKind(error, "conflict");
        if (!there || !(await target.revokeUnused(lease, call))) throw error;
        await target.grant(lease, seconds, call);
      }
    },
  };
}

/** Not the claim, which only the target has. */
async function ourKeys(store: Datastore, revision: Revision, signal: AbortSignal): Promise<readonly Listed[]> {
  const found = await keysOf(store, revision, signal, spans);
  return found.filter(({ key }) => Buffer.compare(key, claimBytes) !== 0);
}

const claimBytes = Buffer.from(claimKey);
