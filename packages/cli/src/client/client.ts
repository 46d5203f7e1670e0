import { setTimeout as sleep } from "node:timers/promises";
import { formatDuration, second } from "../duration.ts";
import { isStarting, QueryError, ServerError, UnreachableError } from "./errors.ts";
import { openEnvelope, readText, send } from "./transport.ts";

export interface Client {
  /** Calls the daemon and gives the payload; waits for a daemon that is still starting. @throws QueryError */
  query<T>(method: "GET" | "POST" | "PUT" | "DELETE", path: string, options: QueryOptions): Promise<T>;
  readonly socketPath: string;
}

export interface QueryOptions {
  readonly body?: unknown;
  readonly signal: AbortSignal;
}

/** Deadline of calls whose command has none of its own. */
export const defaultDeadline = 30e9;

/** A daemon that restarts is away for a second or two; one that is not there should be reported soon. */
const unreachableForMs = 3_000;
const startingForMs = 30_000;
const retryEveryMs = 100;

/** @param patienceMs how long a daemon that nobody can reach is waited for */
export function createClient(socketPath: string, patienceMs = unreachableForMs): Client {
  return {
    socketPath,
    async query<T>(method: "GET" | "POST" | "PUT" | "DELETE", path: string, options: QueryOptions): Promise<T> {
      try {
        return await whileStarting(options.signal, patienceMs, async () => {
          const answer = await send(socketPath, { method, path: `/1.0${path}`, ...options });
          // The daemon and its schema made it: the CLI checks nothing twice.
          return openEnvelope(await readText(answer, options.signal), answer.statusCode ?? 0) as T;
        });
      } catch (error) {
        throw queryError(method, path, error);
      }
    },
  };
}

/** The layers of text that users of the API know, around the daemon's own. */
export function queryError(method: string, path: string, error: unknown): QueryError {
  const reason = error instanceof Error ? error.message : String(error);
  return new QueryError(`failed after potential retry: failed to ${method} ${path}: ${reason}`, {
    cause: error,
    ...(error instanceof ServerError ? { code: error.code } : {}),
  });
}

/** Asks at once, and again only while nobody listens yet or the daemon says that it is starting. */
async function whileStarting<T>(signal: AbortSignal, patienceMs: number, ask: () => Promise<T>): Promise<T> {
  const begun = Date.now();
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const patience = error instanceof UnreachableError ? patienceMs : isStarting(error) ? startingForMs : 0;
      if (Date.now() - begun >= patience) throw error;
    }
    await pause(retryEveryMs, signal);
  }
}

/** Sleeps; ends with the signal's own reason. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
}

/** Of what the daemon ends by itself: it has the timeout too, and is the one to report that it passed. */
export function operationDeadline(nanoseconds: number): AbortSignal {
  return deadline(nanoseconds + 30 * second);
}

/** A signal that ends calls after `nanoseconds` and says so in words. */
export function deadline(nanoseconds: number): AbortSignal {
  const controller = new AbortController();
  const reason = new Error(`k8sd did not finish within ${formatDuration(nanoseconds)}`);
  // Timers hold 31 bits of milliseconds: 24 days.
  const milliseconds = Math.min(nanoseconds / 1e6, 2 ** 31 - 1);
  setTimeout(() => controller.abort(reason), milliseconds).unref();
  return controller.signal;
}
