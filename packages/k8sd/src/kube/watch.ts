import { AppError } from "../lib/app-error.ts";
import { sleep } from "../lib/wait.ts";
import { isExpired, statusError } from "./kube-error.ts";
import type { KubeObject } from "./resources.ts";
import { parseJson } from "./transport.ts";

export type WatchEvent<T extends KubeObject> =
  /** Everything there is: what the receiver knew and does not find here is gone. First, and again after a gap. */
  | { readonly type: "listed"; readonly items: readonly T[] }
  | { readonly type: "added" | "modified" | "deleted"; readonly object: T };

export interface WatchOptions {
  readonly signal: AbortSignal;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** How long one connection lives before it is made anew. Default 240 s. */
  readonly timeoutSeconds?: number;
  /** Told about each failure that is going to be retried. */
  readonly onRetry?: (error: AppError) => void;
}

export interface WatchSource<T extends KubeObject> {
  list(signal: AbortSignal): Promise<{ readonly items: readonly T[]; readonly resourceVersion: string }>;
  open(resourceVersion: string, timeoutSeconds: number, signal: AbortSignal): AsyncIterable<string>;
}

/** Shorter than the five minutes after which load balancers commonly drop a quiet connection. */
const defaultTimeoutSeconds = 240;
const firstBackoffMs = 250;
const maxBackoffMs = 10_000;

/**
 * Lists, then follows changes. A connection that ends or breaks is resumed at the last version seen; a version that the
 * server has forgotten (410) leads to a new "listed". What retrying cannot help (forbidden, unknown resource) is thrown.
 * Ends when the signal is aborted, and only then.
 */
export async function* watchResource<T extends KubeObject>(
  options: WatchOptions,
  source: WatchSource<T>,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  let version: string | undefined;
  let backoffMs = firstBackoffMs;
  while (!options.signal.aborted) {
    try {
      if (version === undefined) {
        const list = await source.list(options.signal);
        version = list.resourceVersion;
        yield { type: "listed", items: list.items };
      }
      const started = performance.now();
      for await (const line of source.open(version, options.timeoutSeconds ?? defaultTimeoutSeconds, options.signal)) {
        const event = readEvent<T>(line);
        version = event.version ?? version;
        backoffMs = firstBackoffMs;
        if (event.change !== undefined) yield event.change;
      }
      // A server that ends each watch at once must not be asked in a hot loop.
      if (performance.now() - started < firstBackoffMs) await sleep(firstBackoffMs, options.signal);
    } catch (error) {
      if (options.signal.aborted) return;
      if (!(error instanceof AppError)) throw error;
      if (isExpired(error)) version = undefined;
      else if (!error.retryable) throw error;
      options.onRetry?.(error);
      await sleep(backoffMs, options.signal).catch(() => {
        // Aborted: the loop ends.
      });
      backoffMs = Math.min(backoffMs * 2, maxBackoffMs);
    }
  }
}

interface ReadEvent<T extends KubeObject> {
  readonly version: string | undefined;
  readonly change: WatchEvent<T> | undefined;
}

function readEvent<T extends KubeObject>(line: string): ReadEvent<T> {
  const event = parseJson(line) as
    | { readonly type?: unknown; readonly object?: T & { readonly code?: unknown } }
    | undefined;
  const object = event?.object;
  // A connection that breaks may leave half a line.
  if (object === undefined) throw new AppError("unavailable", "cannot watch: an event is not complete");
  const version = object.metadata?.resourceVersion;
  switch (event?.type) {
    case "ADDED":
      return { version, change: { type: "added", object } };
    case "MODIFIED":
      return { version, change: { type: "modified", object } };
    case "DELETED":
      return { version, change: { type: "deleted", object } };
    case "ERROR":
      throw statusError("watch", typeof object.code === "number" ? object.code : 500, object);
    default:
      // BOOKMARK: nothing changed, but the version to resume at moves on.
      return { version, change: undefined };
  }
}
