import type { Datastore } from "../datastore/datastore.ts";
import { AppError, isKind } from "../lib/app-error.ts";
import { poll } from "../lib/wait.ts";

export interface LockOptions {
  /** Below `k8sd/locks/`. */
  readonly name: string;
  readonly signal: AbortSignal;
  /** For getting it; 0: only when it is free now. */
  readonly waitMs: number;
}

/** Another node is at it: nothing that a caller who comes again by itself has to tell of. */
export function isTaken(error: unknown): boolean {
  return isKind(error, "conflict") && error.retryable;
}

/** A holder that died is out of the way after this. */
const lifeSeconds = 10;
const intervalMs = 200;

/**
 * Runs work that only one node of the cluster may do at a time. Its signal ends when the lock is lost.
 * Kind "conflict": another one has it.
 */
export async function withClusterLock<T>(
  datastore: Pick<Datastore, "txn" | "lease">,
  { name, signal, waitMs }: LockOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  await using stack = new AsyncDisposableStack();
  const lease = await datastore.lease(lifeSeconds, signal);
  stack.defer(async () => {
    try {
      await lease[Symbol.asyncDispose]();
    } catch {
      // The work may have cost the datastore its majority: then the lock ends with its time.
    }
  });
  const key = `k8sd/locks/${name}`;
  const tryOnce = async (abort: AbortSignal): Promise<true | undefined> => {
    const { succeeded } = await datastore.txn(
      {
        compare: [{ key, target: "create", is: "=", to: 0 }],
        success: [{ op: "put", key, value: new Date().toISOString(), lease: lease.id }],
      },
      { signal: abort },
    );
    return succeeded || undefined;
  };
  const held =
    waitMs === 0
      ? await tryOnce(signal)
      : await poll(tryOnce, { what: `get its turn for ${name}`, deadlineMs: waitMs, signal, intervalMs });
  if (held === undefined) {
    throw new AppError("conflict", `cannot go on with ${name}: another node is at it`, { retryable: true });
  }
  return await work(AbortSignal.any([signal, lease.lost]));
}
