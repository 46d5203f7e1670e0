import { setTimeout as sleepFor } from "node:timers/promises";
import { AppError, errorText } from "./app-error.ts";

/** Sleeps; rejects with the signal's reason when it is aborted. */
export async function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await sleepFor(milliseconds, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

/** A signal that ends with the parent or after the deadline, whichever is first. */
export function withDeadline(signal: AbortSignal, milliseconds: number): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(milliseconds)]);
}

export interface PollOptions {
  /** What is waited for, as the end of "cannot …": "see kube-apiserver ready". */
  readonly what: string;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  readonly intervalMs?: number;
  /** What the user can look at when the deadline passes. */
  readonly remedy?: string;
}

/**
 * Calls `probe` at once and then at intervals until it returns something other than undefined.
 * An error of `probe` means "not yet" and becomes the cause of the timeout; a non-retryable AppError ends the wait.
 */
export async function poll<T>(
  probe: (signal: AbortSignal) => Promise<T | undefined>,
  options: PollOptions,
): Promise<T> {
  const deadline = withDeadline(options.signal, options.deadlineMs);
  let last: unknown;
  for (;;) {
    try {
      const value = await probe(deadline);
      if (value !== undefined) return value;
    } catch (error) {
      if (error instanceof AppError && !error.retryable && !deadline.aborted) throw error;
      if (!deadline.aborted) last = error;
    }
    // When the time of whoever asked is over first, the reason is as good to know.
    if (!isTimeout(options.signal)) options.signal.throwIfAborted();
    if (deadline.aborted) {
      const reason = last === undefined ? "" : `: ${errorText(last)}`;
      const time = options.signal.aborted ? "in time" : `within ${options.deadlineMs / 1000} s`;
      throw new AppError("timeout", `cannot ${options.what} ${time}${reason}`, {
        cause: last,
        ...(options.remedy === undefined ? {} : { remedy: options.remedy }),
      });
    }
    await sleep(options.intervalMs ?? 100, deadline).catch(() => {
      // The deadline is looked at above, after one last probe has had its chance to explain itself.
    });
  }
}

/** Resolves when the signal is aborted, at once when it has been. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function isTimeout({ aborted, reason }: AbortSignal): boolean {
  return aborted && reason instanceof DOMException && reason.name === "TimeoutError";
}

/** The promise's outcome, or the signal's reason if that comes first; the work behind the promise goes on. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
