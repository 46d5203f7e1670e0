import { expect, test } from "vitest";
import { type KeySpan, spanContains } from "../../../src/datastore/engine/key-range.ts";
import type { Change, HistoryView } from "../../../src/datastore/engine/store.ts";
import { createWatchHub, type Send } from "../../../src/datastore/engine/watch-hub.ts";
import type { KeyValue, WatchCreateRequest } from "../../../src/datastore/gen/etcd.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");
const none = bytes("");

/** A history in memory with the same reading rules as the real one. */
function fakeStore() {
  const history: Change[] = [];
  let compacted = -1;
  const revision = () => history.at(-1)?.kv.modRevision ?? 1;
  const store: HistoryView = {
    revision,
    compactRevision: () => compacted,
    previous: ({ kv: { key, modRevision } }) =>
      history.findLast(({ kv }) => kv.modRevision < modRevision && Buffer.compare(kv.key, key) === 0)?.kv,
    changes(span: KeySpan, from: number, limit: number) {
      const found = history.filter(({ kv }) => kv.modRevision >= from && spanContains(span, kv.key));
      const [at, compactRevision] = [revision(), compacted];
      return { changes: found.slice(0, limit), more: found.length > limit, revision: at, compactRevision };
    },
  };
  const change = (type: 0 | 1, key: string): Change => {
    const kv: KeyValue = {
      key: bytes(key),
      value: none,
      createRevision: 0,
      modRevision: revision() + 1,
      version: 2,
      lease: 0n,
    };
    const made = { type, kv };
    history.push(made);
    return made;
  };
  return {
    store,
    change,
    compact: (at: number) => {
      compacted = at;
    },
  };
}

function setUp() {
  const fake = fakeStore();
  const hub = createWatchHub(fake.store);
  const sent: Parameters<Send>[0][] = [];
  let open = true;
  const stream = hub.open((response) => {
    sent.push(response);
    return open;
  });
  const write = (type: 0 | 1, ...keys: string[]) => hub.publish(keys.map((key) => fake.change(type, key)));
  const watch = (request: Partial<WatchCreateRequest>) =>
    stream.create({
      key: bytes("a"),
      rangeEnd: none,
      startRevision: 0,
      progressNotify: false,
      filters: [],
      prevKv: false,
      watchId: 0,
      fragment: false,
      ...request,
    });
  const eventsOf = (watchId: number) =>
    sent
      .filter((each) => each.watchId === watchId)
      .flatMap((each) => each.events ?? [])
      .map((event) => event.kv?.modRevision);
  return {
    ...fake,
    hub,
    stream,
    sent,
    write,
    watch,
    eventsOf,
    setOpen: (value: boolean) => {
      open = value;
    },
  };
}

test("created comes first, then history, then live events, without gap or double", () => {
  const { write, watch, sent, eventsOf } = setUp();
  write(0, "a", "b", "a");
  watch({ startRevision: 2 });
  write(0, "b", "a");
  expect(sent[0]).toMatchObject({ watchId: 0, created: true, revision: 4 });
  expect(eventsOf(0)).toEqual([2, 4, 6]);
});

test("a long history arrives whole, over several reads", () => {
  const { write, watch, eventsOf } = setUp();
  write(0, ...Array.from({ length: 2_500 }, () => "a"));
  watch({ startRevision: 2 });
  expect(eventsOf(0)).toEqual(Array.from({ length: 2_500 }, (_, at) => at + 2));
});

test("a watch for the future stays silent until then", () => {
  const { write, watch, eventsOf } = setUp();
  watch({ startRevision: 4 });
  write(0, "a");
  write(0, "a", "a", "a");
  expect(eventsOf(0)).toEqual([4, 5]);
});

test("filters drop puts or deletions", () => {
  const { write, watch, eventsOf } = setUp();
  watch({ filters: [0] });
  watch({ filters: [1] });
  write(0, "a");
  write(1, "a");
  expect([eventsOf(0), eventsOf(1)]).toEqual([[3], [2]]);
});

test("a slow peer gets nothing more until it drained, then all it missed", () => {
  const { write, watch, sent, eventsOf, setOpen, stream } = setUp();
  watch({});
  setOpen(false);
  write(0, "a");
  const before = sent.length;
  for (let at = 0; at < 50; at++) write(0, "a");
  expect(sent.length).toBe(before);
  setOpen(true);
  stream.drained();
  write(0, "a");
  expect(eventsOf(0)).toEqual(Array.from({ length: 52 }, (_, at) => at + 2));
});

test("a watch behind a compaction ends with its revision, at the start and when it was slow", () => {
  const { write, watch, sent, compact, setOpen, stream, hub } = setUp();
  write(0, "a", "a", "a");
  compact(3);
  watch({ startRevision: 2 });
  expect(sent.at(-1)).toMatchObject({ watchId: 0, canceled: true, compactRevision: 3 });
  watch({ watchId: 7 });
  setOpen(false);
  write(0, "a");
  write(0, "a", "a");
  compact(7);
  setOpen(true);
  stream.drained();
  expect(sent.at(-1)).toMatchObject({ watchId: 7, canceled: true, compactRevision: 7 });
  expect(hub.size).toBe(0);
});

test("progress is answered on id -1 only when all watches of the stream have seen everything", () => {
  const { watch, sent, stream, write } = setUp();
  stream.progress();
  expect(sent).toEqual([]);
  watch({});
  write(0, "b");
  stream.progress();
  expect(sent.at(-1)).toEqual({ watchId: -1, revision: 2 });
  watch({ startRevision: 10 });
  const before = sent.length;
  stream.progress();
  expect(sent.length).toBe(before);
});

test("ids of the caller are kept, doubles and empty ranges are refused", () => {
  const { watch, sent } = setUp();
  watch({ watchId: 5 });
  watch({ watchId: 5 });
  watch({ key: bytes("b"), rangeEnd: bytes("a") });
  expect(sent.map(({ watchId, canceled }) => [watchId, canceled ?? false])).toEqual([
    [5, false],
    [-1, true],
    [-1, true],
  ]);
});

test("cancel ends a watch, closing the stream ends all", () => {
  const { watch, sent, stream, write, hub, eventsOf } = setUp();
  watch({});
  watch({});
  stream.cancel(0);
  expect(sent.at(-1)).toMatchObject({ watchId: 0, canceled: true });
  write(0, "a");
  expect([eventsOf(0), eventsOf(1)]).toEqual([[], [2]]);
  stream.close();
  expect(hub.size).toBe(0);
});
