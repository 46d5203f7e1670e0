import type { OperationEvent } from "@k8sd/api-types";
import { createEventLog } from "./event-log.ts";
import type { OperationRun, Runner } from "./runner.ts";

export interface DeferredRun<R> {
  readonly id: string;
  readonly events: AsyncIterable<OperationEvent>;
  readonly result: Promise<R>;
}

/**
 * An operation that is only begun once something was asked of others; callers follow it from now on.
 * @param begun undefined: it turned out that there was nothing to do
 * @param before what others do first; it ends
 */
export function deferredRun<R>(
  id: string,
  begun: Promise<OperationRun | undefined>,
  before?: AsyncIterable<OperationEvent>,
): DeferredRun<R> {
  const result = begun.then((run) => run?.result) as Promise<R>;
  result.catch(() => {
    // Whoever asked gets it; nobody may be listening any more.
  });
  return {
    id,
    events: (async function* () {
      if (before !== undefined) yield* before;
      const run = await begun.catch(() => undefined);
      if (run !== undefined) yield* run.events;
    })(),
    result,
  };
}

/** Whoever asks again under the same request gets the same operation, also before it has begun. */
export function onceAsked<R>(runner: Pick<Runner, "find">, result: R) {
  const asking = new Map<string, DeferredRun<R>>();
  return {
    /** How many are being prepared. */
    pending: (): number => asking.size,

    /** @param begin is given a way to tell what others do before it begins */
    run(
      requestId: string,
      begin: (tell: (event: OperationEvent) => void) => Promise<OperationRun | undefined>,
    ): DeferredRun<R> {
      const known = runner.find(requestId);
      if (known !== undefined) return { ...known, result: known.result.then(() => result) };
      const earlier = asking.get(requestId);
      if (earlier !== undefined) return earlier;
      const before = createEventLog();
      const begun = begin(before.add);
      const deferred = deferredRun<unknown>(requestId, begun, before.read());
      const run = { ...deferred, result: deferred.result.then(() => result) };
      run.result.catch(() => {
        // As above.
      });
      asking.set(requestId, run);
      const forget = (): void => {
        asking.delete(requestId);
        before.end();
      };
      begun.then(forget, forget);
      return run;
    },
  };
}
