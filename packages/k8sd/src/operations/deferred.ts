import type { OperationEvent } from "@k8sd/api-types";
import type { OperationRun } from "./runner.ts";

export interface DeferredRun<R> {
  readonly id: string;
  readonly events: AsyncIterable<OperationEvent>;
  readonly result: Promise<R>;
}

/** An operation that is only begun once something was asked of others; callers follow it from now on. */
export function deferredRun<R>(id: string, begun: Promise<OperationRun>): DeferredRun<R> {
  const result = begun.then((run) => run.result) as Promise<R>;
  result.catch(() => {
    // Whoever asked gets it; nobody may be listening any more.
  });
  return {
    id,
    events: (async function* () {
      const run = await begun.catch(() => undefined);
      if (run !== undefined) yield* run.events;
    })(),
    result,
  };
}
