import type { OperationEvent } from "@k8sd/api-types";
import type { OperationRun, Runner } from "../operations/runner.ts";

/** An operation that is still being prepared, or was not even needed. */
export interface PromisedRun<R> {
  readonly id: string;
  readonly events: AsyncIterable<OperationEvent>;
  readonly result: Promise<R>;
}

/**
 * For operations whose plan has to be asked for first: whoever asks again under the same request gets the same one, also
 * before it has started. `begin` gives undefined when there is nothing to do.
 */
export function onceAsked(runner: Pick<Runner, "find">) {
  const asking = new Map<string, PromisedRun<unknown>>();

  return {
    /** How many are being prepared. */
    pending: (): number => asking.size,

    run<R>(requestId: string, begin: () => Promise<OperationRun | undefined>, result: R): PromisedRun<R> {
      const known = runner.find(requestId);
      if (known !== undefined) return { ...known, result: known.result.then(() => result) };
      const earlier = asking.get(requestId);
      if (earlier !== undefined) return earlier as PromisedRun<R>;
      const begun = begin();
      const run: PromisedRun<R> = {
        id: requestId,
        events: (async function* () {
          const started = await begun.catch(() => undefined);
          if (started !== undefined) yield* started.events;
        })(),
        result: begun.then(async (started) => {
          await started?.result;
          return result;
        }),
      };
      asking.set(requestId, run);
      const forget = (): void => void asking.delete(requestId);
      begun.then(forget, forget);
      run.result.catch(() => {
        // Whoever asked gets it; nobody may be listening any more.
      });
      return run;
    },
  };
}
