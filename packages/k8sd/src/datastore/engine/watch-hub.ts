import type { KeyValue, WatchCreateRequest, WatchResponse } from "../gen/etcd.ts";
import { watchFilter } from "../wire.ts";
import { etcdErrors } from "./etcd-error.ts";
import { type KeySpan, keyText, spanContains, spanText } from "./key-range.ts";
import type { Change, HistoryView, Past } from "./store.ts";

/** Changes read from history at a time: what a slow watcher may hold in memory at most, beside one live batch. */
const catchUpChanges = 1000;

/** Where a stream's answers go. False: the peer is slow; `drained` of the stream says when to go on. */
export type Send = (response: Partial<WatchResponse> & { watchId: number; revision: number }) => boolean;

export interface WatchStream {
  create(request: WatchCreateRequest): void;
  /** Answers the request for a watch with the reason why there is none. */
  refuse(reason: string): void;
  cancel(watchId: number): void;
  /** Answers on watch id -1 when every watch of the stream has seen all there is; otherwise stays silent, as etcd does. */
  progress(): void;
  drained(): void;
  close(): void;
}

/**
 * Watches of all streams. A watch is either live (gets each commit as it happens) or behind (reads history from `next` on).
 * A peer that does not take its events falls behind instead of filling memory, and catches up from history when it drains;
 * only a compaction beyond its place ends it. A watch becomes live in the turn of the event loop that took what history held up
 * to the newest published revision, and skips what it has seen: so between the two states there is neither gap nor double.
 */
export interface WatchHub {
  open(send: Send): WatchStream;
  publish(changes: readonly Change[]): void;
  /** Tells idle watches that asked for it how far they are. */
  notifyProgress(): void;
  readonly size: number;
}

interface Stream {
  readonly send: Send;
  readonly watches: Map<number, Watch>;
  congested: boolean;
}

interface Watch {
  readonly id: number;
  readonly stream: Stream;
  readonly span: KeySpan;
  readonly noPut: boolean;
  readonly noDelete: boolean;
  readonly prevKv: boolean;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
  /** The first revision it has not seen. */
  next: number;
  live: boolean;
  /** History was asked for and has not come yet. */
  reading: boolean;
  quiet: boolean;
}

export function createWatchHub(store: HistoryView): WatchHub {
  const byKey = new Map<string, Set<Watch>>();
  const spans = new Map<string, { readonly span: KeySpan; readonly watches: Set<Watch> }>();
  let size = 0;

  function register(watch: Watch): void {
    size++;
    if (watch.span.kind === "one") {
      const name = keyText(watch.span.key);
      const set = byKey.get(name) ?? new Set();
      byKey.set(name, set.add(watch));
      return;
    }
    const name = spanText(watch.span);
    const entry = spans.get(name) ?? { span: watch.span, watches: new Set() };
    entry.watches.add(watch);
    spans.set(name, entry);
  }

  function unregister(watch: Watch): void {
    if (!watch.stream.watches.delete(watch.id)) return;
    size--;
    if (watch.span.kind === "one") {
      const name = keyText(watch.span.key);
      const set = byKey.get(name);
      set?.delete(watch);
      if (set?.size === 0) byKey.delete(name);
      return;
    }
    const name = spanText(watch.span);
    const entry = spans.get(name);
    entry?.watches.delete(watch);
    if (entry?.watches.size === 0) spans.delete(name);
  }

  const wants = (watch: Watch, change: Change): boolean =>
    change.kv.modRevision >= watch.next && !(change.type === 0 ? watch.noPut : watch.noDelete);

  /** What a key was before; every watch of a commit shares one look-up. */
  function previousOf(change: Change, memo: Map<Change, KeyValue | undefined>): KeyValue | undefined {
    if (change.type === 0 && change.kv.version === 1) return undefined;
    // A reader before the change is refused then, and what is left of it depends on how far the compactor is.
    if (change.kv.modRevision - 1 < store.compactRevision()) return undefined;
    if (!memo.has(change)) memo.set(change, store.previous(change));
    return memo.get(change);
  }

  function send(stream: Stream, response: Parameters<Send>[0]): void {
    if (!stream.send(response)) stream.congested = true;
  }

  function deliver(
    watch: Watch,
    changes: readonly Change[],
    revision: number,
    memo: Map<Change, KeyValue | undefined>,
  ): void {
    if (changes.length === 0) return;
    const events = changes.map((change) => ({
      type: change.type,
      kv: change.kv,
      prevKv: watch.prevKv ? previousOf(change, memo) : undefined,
    }));
    watch.quiet = false;
    send(watch.stream, { watchId: watch.id, revision, events, fragment: watch.fragment });
  }

  /** Reads history until the watch is live, the stream is congested, or the history is gone. */
  function catchUp(watch: Watch): void {
    while (!watch.live && !watch.reading && !watch.stream.congested) {
      const past = store.changes(watch.span, watch.next, catchUpChanges, watch.prevKv);
      if (past instanceof Promise) {
        watch.reading = true;
        past.then(
          (come) => {
            watch.reading = false;
            if (take(watch, come)) catchUp(watch);
          },
          // The store stops, and its streams with it.
          () => {},
        );
        return;
      }
      if (!take(watch, past)) return;
    }
  }

  /** False: the watch is over. */
  function take(watch: Watch, { changes, more, revision, compactRevision }: Past): boolean {
    if (watch.stream.watches.get(watch.id) !== watch) return false;
    if (watch.next < compactRevision) {
      unregister(watch);
      // etcd names no revision here.
      send(watch.stream, { watchId: watch.id, revision: 0, canceled: true, compactRevision });
      return false;
    }
    const wanted = changes.filter((change) => wants(watch, change));
    const seen = more ? (changes.at(-1)?.kv.modRevision ?? revision) : revision;
    watch.next = Math.max(watch.next, seen + 1);
    watch.live = seen >= store.revision();
    deliver(watch, wanted, revision, new Map());
    return true;
  }

  function publish(changes: readonly Change[]): void {
    if (size === 0 || changes.length === 0) return;
    const batches = new Map<Watch, Change[]>();
    const add = (watches: ReadonlySet<Watch>, change: Change) => {
      for (const watch of watches) {
        if (!watch.live) continue;
        if (watch.stream.congested) {
          watch.live = false;
          watch.next = Math.max(watch.next, change.kv.modRevision);
        } else if (wants(watch, change)) {
          const batch = batches.get(watch);
          if (batch) batch.push(change);
          else batches.set(watch, [change]);
        }
      }
    };
    for (const change of changes) {
      const exact = byKey.get(keyText(change.kv.key));
      if (exact) add(exact, change);
      for (const entry of spans.values()) if (spanContains(entry.span, change.kv.key)) add(entry.watches, change);
    }
    const memo = new Map<Change, KeyValue | undefined>();
    const revision = store.revision();
    for (const [watch, batch] of batches) {
      if (watch.stream.congested) {
        watch.live = false;
        watch.next = batch[0]?.kv.modRevision ?? watch.next;
      } else {
        deliver(watch, batch, revision, memo);
        watch.next = Math.max(watch.next, revision + 1);
      }
    }
  }

  function open(sendTo: Send): WatchStream {
    const stream: Stream = { send: sendTo, watches: new Map(), congested: false };
    let nextId = 0;

    const refuse = (cancelReason: string) =>
      send(stream, { watchId: -1, revision: store.revision(), created: true, canceled: true, cancelReason });

    return {
      refuse,
      create(request) {
        if (request.startRevision < 0) return refuse(etcdErrors.compacted().message);
        const span = watchedSpan(request);
        if (!span) return refuse("mvcc: watcher range is empty");
        if (request.watchId !== 0 && stream.watches.has(request.watchId)) {
          return refuse("mvcc: duplicate watch ID provided on the WatchStream");
        }
        let id = request.watchId;
        if (id === 0) {
          while (stream.watches.has(nextId)) nextId++;
          id = nextId++;
        }
        const current = store.revision();
        const watch: Watch = {
          id,
          stream,
          span,
          noPut: request.filters.includes(watchFilter.noPut),
          noDelete: request.filters.includes(watchFilter.noDelete),
          prevKv: request.prevKv,
          fragment: request.fragment,
          progressNotify: request.progressNotify,
          next: request.startRevision === 0 ? current + 1 : request.startRevision,
          live: request.startRevision === 0 || request.startRevision > current,
          reading: false,
          quiet: false,
        };
        stream.watches.set(id, watch);
        register(watch);
        send(stream, { watchId: id, revision: current, created: true });
        catchUp(watch);
      },
      cancel(watchId) {
        const watch = stream.watches.get(watchId);
        if (!watch) return;
        unregister(watch);
        send(stream, { watchId, revision: store.revision(), canceled: true });
      },
      progress() {
        const revision = store.revision();
        const all = [...stream.watches.values()];
        if (all.length === 0 || !all.every((watch) => watch.live && watch.next <= revision + 1)) return;
        send(stream, { watchId: -1, revision });
      },
      drained() {
        stream.congested = false;
        for (const watch of [...stream.watches.values()]) catchUp(watch);
      },
      close() {
        for (const watch of [...stream.watches.values()]) unregister(watch);
      },
    };
  }

  function notifyProgress(): void {
    const revision = store.revision();
    const watches = [...byKey.values(), ...[...spans.values()].map((entry) => entry.watches)];
    for (const set of watches) {
      for (const watch of set) {
        const due = watch.progressNotify && watch.quiet && watch.live && !watch.stream.congested;
        if (due && watch.next <= revision + 1) send(watch.stream, { watchId: watch.id, revision });
        watch.quiet = true;
      }
    }
  }

  return {
    open,
    publish,
    notifyProgress,
    get size() {
      return size;
    },
  };
}

/** Undefined: an interval that holds nothing. An empty key means the smallest one. */
function watchedSpan(request: WatchCreateRequest): KeySpan | undefined {
  const key = request.key.length === 0 ? Buffer.from([0]) : request.key;
  const end = request.rangeEnd;
  // Copies: the request's bytes are slices of a network buffer that would otherwise stay in memory as long as the watch.
  if (end.length === 0) return { kind: "one", key: Uint8Array.from(key) };
  if (end.length === 1 && end[0] === 0) return { kind: "from", key: Uint8Array.from(key) };
  if (Buffer.compare(key, end) >= 0) return undefined;
  return { kind: "interval", key: Uint8Array.from(key), end: Uint8Array.from(end) };
}
