import { describe, expect, test } from "vitest";
import { eventFaults, revisionFaults, watchFaults } from "./history/guarantees.ts";
import { violations } from "./history/linearizable.ts";
import type { Operation, SeenEvent, SeenWatch } from "./history/operations.ts";

const never = Number.POSITIVE_INFINITY;
type Told = readonly [value: string | undefined, version: number, revision: number];

function operation(call: Operation["call"], start: number, end: number, told?: Told, swapped?: boolean): Operation {
  const answer = told && {
    value: told[0],
    version: told[1],
    revision: told[2],
    ...(swapped === undefined ? {} : { swapped }),
  };
  return { client: 0, key: "k", call, start, end, ...(answer ? { answer } : {}) };
}
const put = (value: string, start: number, end: number, told?: Told) =>
  operation({ kind: "put", value }, start, end, told);
const read = (start: number, end: number, told: Told) => operation({ kind: "read" }, start, end, told);
const nothing: Told = [undefined, 0, 1];

describe("the check for linearizability", () => {
  test("accepts answers that some order within the times explains", () => {
    expect(
      violations([
        put("a", 0, 10, nothing),
        read(1, 9, [undefined, 0, 1]),
        read(2, 8, ["a", 1, 2]),
        put("b", 11, 20, ["a", 1, 3]),
        operation({ kind: "swap", expected: "b", value: "c" }, 12, 30, ["b", 2, 4], true),
        operation({ kind: "swap", expected: "a", value: "d" }, 31, 32, ["c", 3, 4], false),
        operation({ kind: "delete" }, 33, 34, ["c", 3, 5]),
        read(35, 36, [undefined, 0, 5]),
      ]),
    ).toEqual([]);
  });

  test("accepts that a write without an answer took effect, took effect late, or never did", () => {
    const lost = put("b", 2, never);
    expect(violations([put("a", 0, 1, nothing), lost, read(3, 4, ["b", 2, 3])])).toEqual([]);
    expect(violations([put("a", 0, 1, nothing), lost, read(3, 4, ["a", 1, 2])])).toEqual([]);
    expect(violations([put("a", 0, 1, nothing), lost, read(3, 4, ["a", 1, 2]), read(5, 6, ["b", 2, 3])])).toEqual([]);
  });

  test("finds a stale read", () => {
    const stale = read(4, 5, ["a", 1, 3]);
    expect(violations([put("a", 0, 1, nothing), put("b", 2, 3, ["a", 1, 3]), stale])).toEqual([stale]);
  });

  test("finds a lost write", () => {
    const lost = read(2, 3, [undefined, 0, 2]);
    expect(violations([put("a", 0, 1, nothing), lost])).toEqual([lost]);
  });

  test("finds a write that came back after it was overwritten", () => {
    const back = read(6, 7, ["a", 1, 3]);
    const history = [put("a", 0, 1, nothing), put("b", 2, 3, ["a", 1, 3]), read(4, 5, ["b", 2, 3]), back];
    expect(violations(history)).toEqual([back]);
  });

  test("finds two swaps that both took place from one value", () => {
    const swap = (value: string, start: number) =>
      operation({ kind: "swap", expected: "a", value }, start, start + 5, ["a", 1, 3], true);
    expect(violations([put("a", 0, 1, nothing), swap("b", 2), swap("c", 3)])).toHaveLength(1);
  });

  test("finds a wrong version", () => {
    expect(violations([put("a", 0, 1, nothing), read(2, 3, ["a", 2, 2])])).toHaveLength(1);
  });
});

describe("the check of revisions", () => {
  test("finds one that went back, and one that two changes share", () => {
    expect(revisionFaults([put("a", 0, 1, [undefined, 0, 5]), read(2, 3, ["a", 1, 5])])).toEqual([]);
    expect(revisionFaults([put("a", 0, 1, [undefined, 0, 5]), read(2, 3, ["a", 1, 4])])).toHaveLength(1);
    expect(revisionFaults([put("a", 0, 1, [undefined, 0, 5]), put("b", 2, 3, ["a", 1, 5])])).toHaveLength(1);
  });
});

const event = (revision: number, value: string | undefined, version: number, previous?: string): SeenEvent => ({
  key: "k",
  revision,
  value,
  version,
  previous,
});
const all = [event(2, "a", 1), event(3, "b", 2, "a"), event(4, undefined, 0, "b")];
const watched = (seen: SeenWatch["seen"], from = 2): SeenWatch => ({ name: "w", from, prefix: "", seen });

describe("the check of watches", () => {
  test("accepts all events from the first revision on, with progress between", () => {
    expect(watchFaults(watched([...all, { progress: 4 }]), all)).toEqual([]);
    expect(watchFaults(watched([all[1] as SeenEvent, { progress: 3 }, all[2] as SeenEvent], 3), all)).toEqual([]);
  });

  test.each<[string, SeenWatch["seen"]]>([
    ["a duplicate", [all[0] as SeenEvent, ...all]],
    ["a gap", [all[0] as SeenEvent, all[2] as SeenEvent]],
    ["a missing end", all.slice(0, 2)],
    ["a wrong order", [all[1] as SeenEvent, all[0] as SeenEvent, all[2] as SeenEvent]],
    ["a wrong previous value", [all[0] as SeenEvent, event(3, "b", 2), all[2] as SeenEvent]],
    ["progress that came too early", [all[0] as SeenEvent, { progress: 3 }, ...all.slice(1)]],
    ["an event that is not in the history", [...all, event(5, "x", 1)]],
  ])("finds %s", (_, seen) => {
    expect(watchFaults(watched(seen), all)).toHaveLength(1);
  });

  test("finds an acknowledged write that has no event, a revision without one, and a value nobody wrote", () => {
    const operations = [put("a", 0, 1, [undefined, 0, 2]), put("b", 2, 3, ["a", 1, 3])];
    const told = all.slice(0, 2);
    expect(eventFaults(operations, told, 2)).toEqual([]);
    expect(eventFaults(operations, told.slice(0, 1), 2)).toHaveLength(1);
    expect(eventFaults(operations.slice(0, 1), told, 2)).toHaveLength(1);
    expect(eventFaults([], [event(3, undefined, 0)], 2)).toHaveLength(1);
  });
});
