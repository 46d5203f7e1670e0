import * as wire from "@k8sd/k8sd/datastore/gen/etcd.ts";
import type { GrpcConnection, GrpcFailure } from "../support/grpc-client.ts";
import { plain } from "./observe.ts";

/** Everything one watch said, in its order. */
export interface WatchEntry {
  readonly id: number;
  readonly events: unknown[];
}

/** One stream of watches whose answers are kept. The first watch, which sees all keys, makes progress answerable. */
export interface WatchLog {
  create(request: wire.WatchCreateRequest): Promise<unknown>;
  /** The answer, or undefined for an id that is not watched. */
  cancel(id: number): Promise<unknown>;
  /** Waits until everything up to the revision was delivered, and gives the revision the server named. */
  progress(revision: number, timeoutMs?: number): Promise<number>;
  /** The next answer that ends a watch. */
  ended(): Promise<unknown>;
  readonly watches: readonly WatchEntry[];
  close(): void;
}

/** etcd's loop for watches that are behind takes 100 ms a turn; the rest is a busy machine. */
const answerMs = 20_000;
const askAgainMs = 30;

export function openWatchLog(connection: GrpcConnection): WatchLog {
  const watches: WatchEntry[] = [];
  const active = new Map<number, WatchEntry>();
  const waiting = new Set<(response: wire.WatchResponse | undefined) => void>();
  let over: GrpcFailure | Error | undefined;

  const stream = connection.stream("/etcdserverpb.Watch/Watch", wire.WatchRequest, wire.WatchResponse, {
    message(response) {
      if (response.created && !response.canceled) {
        const entry = { id: response.watchId, events: [] };
        watches.push(entry);
        active.set(response.watchId, entry);
      }
      const events = active.get(response.watchId)?.events;
      const revision = response.header?.revision ?? 0;
      for (const event of response.events) {
        events?.push(plain(event));
        if ((event.kv?.modRevision ?? 0) > revision) events?.push({ fault: "header older than its event", revision });
      }
      if (response.canceled) active.delete(response.watchId);
      for (const wake of [...waiting]) wake(response);
    },
    closed(failure) {
      over = failure ?? new Error("the stream of watches ended");
      for (const wake of [...waiting]) wake(undefined);
    },
  });

  function next<T>(take: (response: wire.WatchResponse) => T | undefined, what: string, timeoutMs = answerMs) {
    return new Promise<T>((resolve, reject) => {
      const finish = () => {
        waiting.delete(wake);
        clearTimeout(timer);
      };
      const wake = (response: wire.WatchResponse | undefined) => {
        if (!response) {
          finish();
          reject(over);
          return;
        }
        const taken = take(response);
        if (taken === undefined) return;
        finish();
        resolve(taken);
      };
      const timer = setTimeout(() => {
        finish();
        reject(new Error(`no ${what} within ${timeoutMs} ms`));
      }, timeoutMs);
      waiting.add(wake);
      if (over) wake(undefined);
    });
  }
  const control = (response: wire.WatchResponse) => {
    const { header, watchId, created, canceled, compactRevision, cancelReason } = response;
    return plain({ header, watchId, created, canceled, compactRevision, cancelReason });
  };

  return {
    watches,
    create(value) {
      const created = next((response) => (response.created ? control(response) : undefined), "answer to a watch");
      stream.send({ requestUnion: { $case: "createRequest", value } });
      return created;
    },
    async cancel(watchId) {
      const known = active.has(watchId);
      stream.send({ requestUnion: { $case: "cancelRequest", value: { watchId } } });
      if (!known) return undefined;
      const ends = (response: wire.WatchResponse) => response.canceled && response.watchId === watchId;
      return next((response) => (ends(response) ? control(response) : undefined), "end of a watch");
    },
    ended: () => next((response) => (response.canceled ? control(response) : undefined), "end of a watch"),
    async progress(revision, timeoutMs) {
      const take = (response: wire.WatchResponse) => {
        const told = response.header?.revision ?? 0;
        const isProgress = response.watchId === -1 && !response.created && told >= revision;
        return isProgress ? told : undefined;
      };
      const reached = next(take, `progress up to ${revision}`, timeoutMs);
      const ask = () => stream.send({ requestUnion: { $case: "progressRequest", value: {} } });
      ask();
      const again = setInterval(ask, askAgainMs);
      try {
        return await reached;
      } finally {
        clearInterval(again);
      }
    },
    close: () => stream.close(),
  };
}
