import { setTimeout as sleep } from "node:timers/promises";

export interface UntilOptions {
  readonly what: string;
  readonly timeoutMs: number;
  readonly everyMs?: number;
  readonly signal?: AbortSignal;
}

/** Asks again until the answer is neither false nor undefined. */
export async function until<T>(
  ask: () => T | Promise<T>,
  options: UntilOptions,
): Promise<Exclude<T, false | undefined>> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const answer = await ask();
    if (answer !== false && answer !== undefined) return answer as Exclude<T, false | undefined>;
    if (performance.now() > deadline) throw new Error(`waited ${options.timeoutMs} ms in vain for ${options.what}`);
    await sleep(options.everyMs ?? 10, undefined, options.signal === undefined ? {} : { signal: options.signal });
  }
}
