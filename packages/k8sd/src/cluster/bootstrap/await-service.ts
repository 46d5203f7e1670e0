import type { ComponentSpec, NodeView } from "../../components/component.ts";
import type { ServiceManager } from "../../host/services.ts";
import { AppError, errorText } from "../../lib/app-error.ts";
import { sleep } from "../../lib/wait.ts";

/** A program that ends this often before it was ever ready has a reason that waiting does not cure. */
const hopelessRestarts = 3;
const lookMs = 500;
const logLines = 5;
/** The service manager answers at once, or it is not worth waiting for. */
const explainMs = 5_000;

type Looks = Pick<ServiceManager, "status" | "logs">;

/**
 * Waits until a component does its work. Gives up early on one that ends again and again; either way the error has what
 * the service manager and the program's own log say, which is where the reason stands.
 */
export async function awaitService(
  component: ComponentSpec,
  view: NodeView,
  services: Looks,
  signal: AbortSignal,
): Promise<void> {
  const settled = new AbortController();
  const both = AbortSignal.any([signal, settled.signal]);
  try {
    await Promise.race([component.ready(view, both), untilHopeless(component.name, services, both)]);
  } catch (error) {
    // A caller who cancels wants no reason; one whose time is over wants to know what took it.
    if (signal.aborted && !isTimeout(signal.reason)) throw signal.reason;
    throw await explained(component.name, signal.aborted ? undefined : error, services);
  } finally {
    settled.abort();
  }
}

async function untilHopeless(name: string, services: Looks, signal: AbortSignal): Promise<never> {
  for (;;) {
    await sleep(lookMs, signal);
    const { state, restarts = 0 } = await services.status(name, signal);
    if (state !== "running" && restarts >= hopelessRestarts) {
      throw new AppError("unavailable", `cannot start ${name}: it ended ${restarts} times`, { retryable: false });
    }
  }
}

async function explained(name: string, error: unknown, services: Looks): Promise<AppError> {
  const signal = AbortSignal.timeout(explainMs);
  const [status, lines] = await Promise.all([services.status(name, signal), services.logs(name, logLines, signal)]);
  const what = error === undefined ? `${name} is not ready` : errorText(error);
  const reason = status.reason === undefined ? "" : ` (${status.reason})`;
  const log = lines.length === 0 ? "" : `, its last lines: ${lines.join(" | ")}`;
  return new AppError("unavailable", `${what}; its state is ${status.state}${reason}${log}`, {
    cause: error,
    retryable: false,
    remedy: `Look at the whole log of ${name}, and at the extra arguments of the configuration.`,
  });
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof Error && reason.name === "TimeoutError";
}
