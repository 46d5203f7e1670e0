import { AppError } from "../../lib/app-error.ts";
import type { Datastore, Revision } from "../datastore.ts";
import { everything, nameOf, takeBatch, type Write } from "./batches.ts";

/** What changed in a store since a revision, reduced to the last state of each key, in the order of these last changes. */
export interface ChangeLog {
  /** All changes up to here were taken or wait. */
  seen(): Revision;
  /** Changes that wait. */
  size(): number;
  /** A batch of the oldest ones; empty if none waits. */
  take(): readonly Write[];
  /** Resolves when something arrived since the last call, fails when the log cannot go on. */
  changed(): Promise<void>;
}

/** Reads until the signal. */
export function followChanges(source: Datastore, since: Revision, signal: AbortSignal): ChangeLog {
  const waiting = new Map<string, Write>();
  let seen = since;
  let news = Promise.withResolvers<void>();
  // Nobody may be waiting when it fails; who asks next gets it.
  const quiet = () => void news.promise.catch(() => {});

  async function read(): Promise<void> {
    for await (const batch of source.watch(everything, { from: since + 1, signal })) {
      if (batch.kind === "compacted") {
        throw new AppError(
          "conflict",
          "cannot copy the datastore: its history was compacted faster than it was copied",
          {
            remedy: "try again when less is written",
          },
        );
      }
      if (batch.kind === "events") {
        for (const event of batch.events) {
          const write =
            event.type === "put" ? { key: event.kv.key, value: event.kv.value } : { key: event.key, value: undefined };
          const name = nameOf(write.key);
          // Behind all others: the order of the last changes is what the copy keeps.
          waiting.delete(name);
          waiting.set(name, write);
        }
      }
      seen = Math.max(seen, batch.revision);
      news.resolve();
    }
    throw new AppError("cancelled", "cannot copy the datastore: it was called off");
  }

  quiet();
  read().catch((error: unknown) => {
    news.reject(error);
    const failed = Promise.withResolvers<void>();
    failed.reject(error);
    news = failed;
    quiet();
  });

  return {
    seen: () => seen,
    size: () => waiting.size,
    take() {
      const batch = takeBatch(waiting.values());
      for (const { key } of batch) waiting.delete(nameOf(key));
      return batch;
    },
    async changed() {
      const current = news;
      await current.promise;
      if (news === current) {
        news = Promise.withResolvers<void>();
        quiet();
      }
    },
  };
}
