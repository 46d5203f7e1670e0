import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { errorCode } from "../lib/app-error.ts";
import type { Channel } from "./channel.ts";
import { toAppError } from "./client-errors.ts";
import { rangeKeys, watchEvent } from "./convert.ts";
import type { KeyRange, Revision, WatchBatch, WatchEvent, WatchOptions } from "./datastore.ts";
import { WatchRequest, WatchResponse } from "./gen/etcd.ts";
import { grpcStatus } from "./wire.ts";

/** Between attempts to resume: fast first, then once a second, as the channel reconnects. */
const firstRetryMs = 50;
const maxRetryMs = 1_000;

/** Failures that no retry cures: the caller's rights or request. */
const permanent: readonly unknown[] = [
  grpcStatus.invalidArgument,
  grpcStatus.permissionDenied,
  grpcStatus.unauthenticated,
  grpcStatus.unimplemented,
];

/** One stream per watch; after a disconnect it goes on behind the last revision that was handed out. */
export async function* watchRange(
  channel: Channel,
  range: KeyRange,
  options: WatchOptions,
): AsyncGenerator<WatchBatch> {
  const { signal } = options;
  let next: Revision = options.from;
  let retryMs = firstRetryMs;
  while (!signal.aborted) {
    try {
      for await (const batch of oneStream(channel, range, next, options)) {
        retryMs = firstRetryMs;
        if (batch.kind !== "compacted") next = Math.max(next, batch.revision + 1);
        if (batch.kind !== "progress" || batch.revision > 0) yield batch;
        if (batch.kind === "compacted") return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (permanent.includes(errorCode(error))) throw toAppError("watch", error);
    }
    // The signal ends the pause early; the loop's condition then ends the watch.
    await delay(retryMs, undefined, { signal }).catch(() => {});
    retryMs = Math.min(retryMs * 2, maxRetryMs);
  }
}

async function* oneStream(
  channel: Channel,
  range: KeyRange,
  from: Revision,
  options: WatchOptions,
): AsyncGenerator<WatchBatch> {
  const stream = channel.duplex("/etcdserverpb.Watch/Watch", WatchRequest, WatchResponse);
  const cancel = () => stream.cancel();
  options.signal.addEventListener("abort", cancel, { once: true });
  try {
    await send(stream, range, from, options);
    let parts: WatchEvent[] = [];
    for await (const response of stream as AsyncIterable<WatchResponse>) {
      const revision = response.header?.revision ?? 0;
      if (response.canceled) {
        if (response.compactRevision > 0) yield { kind: "compacted", compactRevision: response.compactRevision };
        else if (response.created) throw permanentFailure(response.cancelReason);
        return;
      }
      parts.push(...response.events.map(watchEvent));
      if (response.fragment) continue;
      const events = parts;
      parts = [];
      // The answer to the creation pins "from now on": without it a disconnect before the first event would lose some.
      if (events.length > 0) yield { kind: "events", revision: lastRevision(events), events };
      else if (!response.created || from === 0) yield { kind: "progress", revision };
    }
  } finally {
    options.signal.removeEventListener("abort", cancel);
    stream.cancel();
  }
}

async function send(
  stream: ClientDuplexStream<WatchRequest, WatchResponse>,
  range: KeyRange,
  from: Revision,
  options: WatchOptions,
): Promise<void> {
  const value = {
    ...rangeKeys(range),
    startRevision: from,
    progressNotify: true,
    filters: [],
    prevKv: options.prevKv ?? false,
    watchId: 0,
    fragment: true,
  };
  const taken = stream.write({ requestUnion: { $case: "createRequest", value } });
  if (!taken) await once(stream, "drain", { signal: options.signal });
}

/** Not the header's: a server may send a batch while it knows newer revisions whose events come in the next one. */
function lastRevision(events: readonly WatchEvent[]): Revision {
  const last = events.at(-1);
  return last ? (last.type === "put" ? last.kv.modRevision : last.revision) : 0;
}

/** The stream itself lives on, so that the reason is a text without a code. */
function permanentFailure(reason: string): Error {
  const code = reason.includes("permission denied") ? grpcStatus.permissionDenied : grpcStatus.invalidArgument;
  return Object.assign(new Error(reason), { code, details: reason });
}
