import { orAborted } from "./wait.ts";

/** Runs what is given under one key one after the other, in the order of the calls; different keys run side by side. */
export interface Exclusive {
  /** A caller whose signal ends while it waits leaves the queue without running. */
  run<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

export function createExclusive(): Exclusive {
  const tails = new Map<string, Promise<void>>();
  return {
    async run(key, signal, work) {
      signal.throwIfAborted();
      const before = tails.get(key) ?? Promise.resolve();
      const { promise: done, resolve: finish } = Promise.withResolvers<void>();
      const tail = before.then(() => done);
      tails.set(key, tail);
      try {
        await orAborted(before, signal);
        return await work();
      } finally {
        finish();
        if (tails.get(key) === tail) tails.delete(key);
      }
    },
  };
}
