import { connect, type Socket } from "node:net";
import type { Endpoint } from "./endpoints-file.ts";

/** A machine that lost its power says nothing; the kernel finds out with probes after this long without a word. */
export const keepAliveMs = 15_000;

/** Connects or rejects by the deadline; an aborted attempt leaves nothing behind. */
export function dial(endpoint: Endpoint, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const { host, port } = endpoint;
  const socket = connect({
    host,
    port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveMs,
    allowHalfOpen: true,
  });
  const giveUp = (reason: Error) => {
    socket.destroy();
    reject(reason);
  };
  const timer = setTimeout(() => giveUp(silence(timeoutMs)), timeoutMs);
  const abort = () => giveUp(new Error("another one was faster"));
  const settled = () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    socket.off("error", giveUp);
  };
  promise.then(settled, settled);
  socket.once("error", giveUp);
  socket.once("connect", () => resolve(socket));
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  return promise;
}

function silence(timeoutMs: number): Error {
  return Object.assign(new Error(`no answer within ${timeoutMs / 1000} s`), { code: "ETIMEDOUT" });
}

export interface Race<T> {
  /** In the order of preference. */
  readonly candidates: readonly T[];
  dial(candidate: T, signal: AbortSignal): Promise<Socket>;
  /** How long one may stay without answer before the next is tried beside it. */
  readonly staggerMs: number;
}

/** The first candidate that answers: a failure starts the next at once, silence starts it after a moment. */
export async function dialFirst<T>(race: Race<T>): Promise<{ winner: T; socket: Socket } | undefined> {
  type Attempt = Promise<{ winner: T; socket: Socket } | "failed">;
  const { candidates } = race;
  const over = new AbortController();
  const running = new Set<Attempt>();
  const start = (winner: T): void => {
    const attempt: Attempt = race.dial(winner, over.signal).then(
      (socket) => ({ winner, socket }),
      () => {
        running.delete(attempt);
        return "failed";
      },
    );
    running.add(attempt);
  };
  for (let next = 0; ; ) {
    const candidate = candidates[next];
    if (candidate !== undefined) {
      start(candidate);
      next += 1;
    }
    if (running.size === 0) return undefined;
    const more = next < candidates.length;
    const first = await firstOf(running, more ? race.staggerMs : undefined);
    if (first === "failed" || first === "silent") continue;
    over.abort();
    // One that connected in the same moment: its promise was fulfilled before the abort could reach it.
    for (const attempt of running) {
      void attempt.then((other) => {
        if (other !== "failed" && other.socket !== first.socket) other.socket.destroy();
      });
    }
    return first;
  }
}

async function firstOf<R>(attempts: Iterable<Promise<R>>, staggerMs: number | undefined): Promise<R | "silent"> {
  if (staggerMs === undefined) return Promise.race(attempts);
  const { promise, resolve } = Promise.withResolvers<"silent">();
  const timer = setTimeout(() => resolve("silent"), staggerMs);
  try {
    return await Promise.race([...attempts, promise]);
  } finally {
    clearTimeout(timer);
  }
}
