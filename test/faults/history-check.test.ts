import { describe, expect, test } from "vitest";
import { type History, type Operation, violations } from "./history-check.ts";

const join = (node: string, name: string, at: number, more: Partial<Operation> = {}): Operation => ({
  kind: "join",
  node,
  name,
  token: "t",
  beganAt: at,
  endedAt: at + 5,
  outcome: "ok",
  said: "",
  ...more,
});
const remove = (node: string, name: string, at: number, more: Partial<Operation> = {}): Operation => ({
  ...join(node, name, at, more),
  kind: "remove",
});
const active = (address: string, name: string) => ({ address, name, state: "active" });

function history(
  operations: readonly Operation[],
  more: Partial<History["end"]> = {},
  over: Partial<History> = {},
): History {
  const end = { members: [], own: {}, used: { t: 2 }, ...more };
  return { operations, sightings: [], tokens: { t: 2 }, end, ...over };
}

describe("the check of a history", () => {
  test("finds nothing where nothing is wrong", () => {
    const operations = [join("1", "a", 0), join("2", "b", 3), remove("1", "a", 20)];
    expect(violations(history(operations, { members: [active("2", "b")], own: { "2": "b" }, used: { t: 2 } }))).toEqual(
      [],
    );
  });

  test("finds a token that let in more than it is for, whoever counts", () => {
    const operations = [join("1", "a", 0), join("2", "b", 0), join("3", "c", 0)];
    const members = [active("1", "a"), active("2", "b"), active("3", "c")];
    const own = { "1": "a", "2": "b", "3": "c" };
    expect(violations(history(operations, { members, own, used: { t: 3 } }))).toEqual([
      "token t for 2 let in 1, 2, 3",
      "token t for 2 was counted 3 times",
    ]);
    expect(violations(history(operations.slice(0, 2), { members, own, used: { t: 1 } }))).toEqual([
      "token t let in 2 and counted 1",
    ]);
  });

  test("finds a join that was acknowledged and is lost, at the end or in between", () => {
    expect(violations(history([join("1", "a", 0)]))).toEqual([
      "1 joined as a and is not there at the end",
      "1 joined as a and says it is undefined",
    ]);
    const end = { members: [active("1", "a")], own: { "1": "a" } };
    const sightings = [{ beganAt: 10, endedAt: 12, members: [] }];
    expect(violations(history([join("1", "a", 0)], end, { sightings }))).toEqual([
      "1 joined as a and was not there at 10",
    ]);
    // One that was under way when the look began may or may not be seen.
    expect(violations(history([join("1", "a", 6)], end, { sightings }))).toEqual([]);
  });

  test("finds one that was removed and is still there, and does not where it came again", () => {
    const operations = [join("1", "a", 0), remove("1", "a", 10)];
    const end = { members: [active("1", "a")], own: { "1": "a" } };
    expect(violations(history(operations, end))).toEqual([
      "1 was removed and is still there",
      "1 was removed as a and says it is a",
    ]);
    expect(violations(history([...operations, join("1", "a", 20, { outcome: "unknown" })], end))).toEqual([]);
  });

  test("finds two nodes with one name, in the ledger or by their own word", () => {
    const sightings = [{ beganAt: 1, endedAt: 2, members: [active("1", "a"), active("2", "a")] }];
    expect(violations(history([], { own: { "1": "a", "2": "a" } }, { sightings }))).toEqual([
      "two were a at 1",
      "two hosts say that they are a",
    ]);
  });
});
