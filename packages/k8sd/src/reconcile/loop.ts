import type { Logger } from "pino";
import { errorText } from "../lib/app-error.ts";
import { sleep } from "../lib/wait.ts";

/** One full comparison of what is wanted with what is; safe to run at any time. */
export interface Reconciler {
  readonly name: string;
  /** @returns milliseconds until it wants to look again. */
  reconcile(signal: AbortSignal): Promise<number>;
}

/** After an error: soon, and then less and less often. */
const firstRetryMs = 500;
const lastRetryMs = 30_000;

/** Runs a reconciler until it is aborted. Its errors are logged and tried again; they never end the loop. */
export async function runReconciler(reconciler: Reconciler, log: Logger, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted; ) {
    let pause: number;
    try {
      pause = await reconciler.reconcile(signal);
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      pause = Math.min(firstRetryMs * 2 ** failures, lastRetryMs);
      failures = Math.min(failures + 1, 10);
      log.warn({ reconciler: reconciler.name, error: errorText(error), pause }, "Cannot reconcile, trying again");
    }
    await sleep(pause, signal).catch(() => {
      // Aborted: the loop ends above.
    });
  }
}
