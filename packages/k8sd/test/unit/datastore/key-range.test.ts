import { describe, expect, test } from "vitest";
import { prefixEnd, rangeKeys } from "../../../src/datastore/convert.ts";
import { keySpan, spanContains } from "../../../src/datastore/engine/key-range.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);
const text = (value: string) => Buffer.from(value, "latin1");

describe("what a request's key and range_end address", () => {
  const cases: [key: string, end: string, inside: string[], outside: string[]][] = [
    ["a", "", ["a"], ["", "a\0", "b", "A"]],
    ["a", "b", ["a", "a\0", "az", "a\xff"], ["b", "A", ""]],
    ["a", "\0", ["a", "b", "\xff"], ["A", ""]],
    ["\0", "\0", ["\0", "a", "\xff\xff"], [""]],
    ["b", "a", [], ["a", "b", "aa"]],
    ["\xfe", "\xff", ["\xfe", "\xfe\xff"], ["\xff", "\x7f"]],
  ];
  test.each(cases)("key %j, end %j", (key, end, inside, outside) => {
    const span = keySpan(text(key), text(end));
    expect(inside.filter((each) => !spanContains(span, text(each)))).toEqual([]);
    expect(outside.filter((each) => spanContains(span, text(each)))).toEqual([]);
  });
});

test("a prefix ends before the first key that does not have it", () => {
  expect(prefixEnd(text("a/"))).toEqual(bytes(0x61, 0x30));
  expect(prefixEnd(bytes(0x61, 0xff, 0xff))).toEqual(bytes(0x62));
  expect(prefixEnd(bytes(0xff, 0xff))).toEqual(bytes(0));
  expect(rangeKeys({ prefix: "" })).toEqual({ key: bytes(0), rangeEnd: bytes(0) });
});
