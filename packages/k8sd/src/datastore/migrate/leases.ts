import type { Datastore, Op } from "../datastore.ts";
import { patient } from "../patient.ts";
import { inFlight, maxOps, parts } from "./batches.ts";
import type { Listed } from "./digests.ts";
import type { LeaseLife, StoreAccess } from "./store-access.ts";

export interface LeaseCopier {
  /** Before a key is written with it. */
  need(lease: bigint): Promise<void>;
  granted(): number;
}

/** What ended in the copy alone would be missing when the two are compared. */
const copySeconds = 30;
/** A busy cluster has thousands of leases, by its events; grants in flight share a fsync. */
const grantsInFlight = 64;
/** Events of Kubernetes have leases, and there are thousands. */
const writesInFlight = 4;

/** Gives the target all leases that live in the source, under the same ids. */
export async function copyLeases(source: StoreAccess, target: StoreAccess, signal: AbortSignal): Promise<LeaseCopier> {
  return copyTheseLeases(await source.leases(patient(signal)), source, target, signal);
}

/** These, and others as they are asked for. */
export async function copyTheseLeases(
  leases: readonly bigint[],
  source: StoreAccess,
  target: StoreAccess,
  signal: AbortSignal,
): Promise<LeaseCopier> {
  const known = new Map<bigint, Promise<void>>();
  const copy = async (lease: bigint) =>
    target.grant(lease, lifeInCopy(await source.lifeOf(lease, patient(signal))), patient(signal));
  const grant = (lease: bigint): Promise<void> => {
    const granted = known.get(lease) ?? copy(lease);
    known.set(lease, granted);
    return granted;
  };
  await inFlight(grantsInFlight, leases, grant);
  return {
    // One that ended after the last revision still has its keys there; it ends in the copy as well, a second later.
    need: grant,
    granted: () => known.size,
  };
}

/** What has a lease in the source: the copy got it without. */
export async function attachLeases(
  listed: readonly Listed[],
  leases: LeaseCopier,
  target: Datastore,
  signal: AbortSignal,
): Promise<void> {
  const leased = listed.filter(({ lease }) => lease !== 0n);
  await inFlight(writesInFlight, parts(leased, maxOps), async (part) => {
    for (const { lease } of part) await leases.need(lease);
    const success = part.map(({ key, lease }): Op => ({ op: "lease", key, lease }));
    await target.txn({ success }, patient(signal));
  });
}

/**
 * A lease has one number for its life and for what a renewal gives it. Who renews does so in the first half of the life; such
 * a lease keeps its number, or it would run out between two renewals. The others keep what is left of them, and enough for the
 * copy to be complete before it ends.
 */
export function lifeInCopy({ secondsLeft, grantedSeconds }: LeaseLife): number {
  if (secondsLeft * 2 >= grantedSeconds) return Math.max(grantedSeconds, 1);
  return Math.max(secondsLeft, Math.min(grantedSeconds, copySeconds), 1);
}
