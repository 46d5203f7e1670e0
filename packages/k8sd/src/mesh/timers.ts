import type { MeshClock } from "./types.ts";

/**
 * Timers of one protocol that know when this process did not run. After a pause Node runs overdue timers before it reads
 * its sockets, so what looks like silence of others may be waiting to be read.
 */
export interface Timers {
  /** @returns a function that takes the call back */
  after(milliseconds: number, run: () => void): () => void;
  /** As `after`, but not before what arrived during a pause was read. */
  judge(milliseconds: number, run: () => void): () => void;
  stop(): void;
}

export interface TimersOptions {
  readonly lateMs: number;
  readonly settleMs: number;
}

export function createTimers(options: TimersOptions, deps: { clock: MeshClock; onPause: () => void }): Timers {
  const { clock, onPause } = deps;
  const pending = new Set<() => void>();
  let settledAt = Number.NEGATIVE_INFINITY;
  let stopped = false;

  function after(milliseconds: number, run: () => void): () => void {
    if (stopped) return () => {};
    const due = clock.monotonic() + milliseconds;
    const cancelTimer = clock.after(milliseconds, () => {
      pending.delete(cancel);
      const now = clock.monotonic();
      if (now - due > options.lateMs) {
        // Of the many timers that are overdue after one pause, the first one reports it.
        if (now >= settledAt) onPause();
        settledAt = now + options.settleMs;
      }
      run();
    });
    const cancel = (): void => {
      pending.delete(cancel);
      cancelTimer();
    };
    pending.add(cancel);
    return cancel;
  }

  function judge(milliseconds: number, run: () => void): () => void {
    let cancel = after(milliseconds, function settle() {
      const wait = settledAt - clock.monotonic();
      if (wait <= 0) run();
      else cancel = after(wait, settle);
    });
    return () => cancel();
  }

  return {
    after,
    judge,
    stop: () => {
      stopped = true;
      for (const cancel of [...pending]) cancel();
    },
  };
}
