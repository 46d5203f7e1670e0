import type { Client } from "./client/client.ts";
import { type OperationRequest, startOperation } from "./client/operation.ts";
import type { CliDeps } from "./deps.ts";
import { createProgress } from "./progress.ts";

/** Runs an operation with its steps on stderr. The first Ctrl-C cancels it, the second leaves it to the daemon. */
export async function followOperation<T>(client: Client, request: OperationRequest, deps: CliDeps): Promise<T> {
  const progress = createProgress({ write: deps.printError, terminal: deps.errorTerminal(), now: Date.now });
  const operation = startOperation<T>(client, request, {
    step: progress.show,
    lost: (reason) => progress.say(`Connection to k8sd lost (${reason}); the work goes on, reconnecting.`),
    found: () => progress.say("Connected to k8sd again."),
    notCancelled: (reason) => progress.say(`Cannot cancel: ${reason}`),
  });
  let interrupted = false;
  const restore = deps.onInterrupt(() => {
    if (interrupted) {
      progress.say("Leaving; k8sd goes on by itself. See what came of it with 'k8s status'.");
      deps.exit(1);
    }
    interrupted = true;
    progress.say("Cancelling: k8sd takes back what it has done. Press Ctrl-C again to leave without waiting for that.");
    operation.cancel();
  });
  try {
    return await operation.result;
  } finally {
    restore();
    progress.close();
  }
}
