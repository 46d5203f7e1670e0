import { describe, expect, test } from "vitest";
import { compareHolds } from "../../../src/datastore/engine/compare.ts";
import type { Compare, KeyValue } from "../../../src/datastore/gen/etcd.ts";
import { compareResult, compareTarget } from "../../../src/datastore/wire.ts";

const bytes = (text: string) => Buffer.from(text);
const kv = (key: string, value: string): KeyValue => ({
  key: bytes(key),
  value: bytes(value),
  createRevision: 5,
  modRevision: 7,
  version: 3,
  lease: 9n,
});
const view = (...kvs: KeyValue[]) => ({ find: () => kvs[0], list: () => kvs });
const compare = (
  target: keyof typeof compareTarget,
  result: keyof typeof compareResult,
  targetUnion: Compare["targetUnion"],
  end = "",
): Compare => ({
  key: bytes("a"),
  rangeEnd: bytes(end),
  target: compareTarget[target],
  result: compareResult[result],
  targetUnion,
});

describe("a compare", () => {
  const one = view(kv("a", "m"));
  test.each([
    ["version", { $case: "version", value: 3n }, { $case: "version", value: 2n }, { $case: "version", value: 4n }],
    [
      "create",
      { $case: "createRevision", value: 5n },
      { $case: "createRevision", value: 4n },
      { $case: "createRevision", value: 6n },
    ],
    [
      "mod",
      { $case: "modRevision", value: 7n },
      { $case: "modRevision", value: 6n },
      { $case: "modRevision", value: 8n },
    ],
    [
      "value",
      { $case: "value", value: bytes("m") },
      { $case: "value", value: bytes("l") },
      { $case: "value", value: bytes("n") },
    ],
    ["lease", { $case: "lease", value: 9n }, { $case: "lease", value: 8n }, { $case: "lease", value: 10n }],
  ] as const)("of %s knows equal, not equal, greater and less", (target, same, smaller, larger) => {
    const holds = (result: keyof typeof compareResult) =>
      [same, smaller, larger].map((operand) => compareHolds(one, compare(target, result, operand)));
    expect(holds("equal")).toEqual([true, false, false]);
    expect(holds("notEqual")).toEqual([false, true, true]);
    expect(holds("greater")).toEqual([false, true, false]);
    expect(holds("less")).toEqual([false, false, true]);
  });

  test("takes an absent key as zero, but its value equals nothing", () => {
    expect(compareHolds(view(), compare("mod", "equal", undefined))).toBe(true);
    expect(compareHolds(view(), compare("value", "equal", { $case: "value", value: bytes("") }))).toBe(false);
    expect(compareHolds(view(), compare("value", "notEqual", { $case: "value", value: bytes("x") }))).toBe(false);
  });

  test("takes an operand of another kind as zero", () => {
    expect(compareHolds(one, compare("mod", "equal", { $case: "version", value: 7n }))).toBe(false);
    expect(compareHolds(one, compare("mod", "greater", { $case: "version", value: 7n }))).toBe(true);
  });

  test("over a range holds only if all its keys satisfy it", () => {
    const operand = { $case: "value", value: bytes("m") } as const;
    expect(compareHolds(view(kv("a", "m"), kv("b", "m")), compare("value", "equal", operand, "z"))).toBe(true);
    expect(compareHolds(view(kv("a", "m"), kv("b", "x")), compare("value", "equal", operand, "z"))).toBe(false);
  });
});
