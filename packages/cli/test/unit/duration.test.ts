import { describe, expect, test } from "vitest";
import { atLeastMinimum, formatDuration, parseDuration } from "../../src/duration.ts";

describe("a duration in Go's syntax", () => {
  test.each([
    ["1m30s", 90e9],
    ["90s", 90e9],
    ["500ms", 500e6],
    ["1.5h", 5400e9],
    ["24h0m0s", 86_400e9],
    ["0", 0],
    ["-2s", -2e9],
    ["+.5s", 0.5e9],
    ["3us2ns", 3002],
  ])("%s is read", (text, nanoseconds) => {
    expect(parseDuration(text)).toBe(nanoseconds);
  });

  test.each([
    ["", 'time: invalid duration ""'],
    ["-", 'time: invalid duration "-"'],
    ["abc", 'time: invalid duration "abc"'],
    ["10", 'time: missing unit in duration "10"'],
    ["10x", 'time: unknown unit "x" in duration "10x"'],
    ["1m 30s", 'time: unknown unit "m " in duration "1m 30s"'],
    ["1constructor", 'time: unknown unit "constructor" in duration "1constructor"'],
  ])("%j is refused with Go's words", (text, message) => {
    expect(() => parseDuration(text)).toThrow(message);
  });

  test.each([
    [90e9, "1m30s"],
    [3600e9, "1h0m0s"],
    [1e9, "1s"],
    [2.5e9, "2.5s"],
    [500e6, "500ms"],
    [1500, "1.5\u00b5s"],
    [0, "0s"],
    [-1e9, "-1s"],
  ])("%d nanoseconds are written as Go writes them", (nanoseconds, text) => {
    expect(formatDuration(nanoseconds)).toBe(text);
  });

  test("a timeout below three seconds becomes three, and says so", () => {
    const told: string[] = [];
    expect(atLeastMinimum(500e6, (text) => told.push(text))).toBe(3e9);
    expect(told).toEqual(["Timeout 500ms is less than minimum of 3s. Using the minimum 3s instead.\n"]);
    expect(atLeastMinimum(3e9, (text) => told.push(text))).toBe(3e9);
    expect(told).toHaveLength(1);
  });
});
