import { describe, expect, test } from "vitest";
import { hasRoom, type MemberRoom, toDefragment } from "../../../src/datastore/upkeep-plan.ts";

const mib = 1024 * 1024;
const room = (name: string, size: number, inUse: number, leader = false, quota = 0): MemberRoom => ({
  id: BigInt(name.length),
  name,
  leader,
  size: size * mib,
  inUse: inUse * mib,
  quota: quota * mib,
});
const names = (members: readonly MemberRoom[]) => members.map(({ name }) => name);
const well = { full: false, away: 0 };

describe("who is defragmented", () => {
  test("those whose file is mostly unused, the leader last", () => {
    const members = [room("l", 900, 100, true), room("aa", 900, 100), room("bbb", 900, 600)];
    expect(names(toDefragment(members, well))).toEqual(["aa", "l"]);
  });
  test("nobody for little room, whatever its share", () => {
    expect(toDefragment([room("a", 100, 1)], well)).toEqual([]);
  });
  test("nobody while another member is away, unless no write is taken anyway", () => {
    const members = [room("a", 900, 100)];
    expect(toDefragment(members, { full: false, away: 1 })).toEqual([]);
    expect(names(toDefragment(members, { full: true, away: 1 }))).toEqual(["a"]);
  });
  test("of a full datastore, each with any room to give", () => {
    expect(names(toDefragment([room("a", 16, 15), room("bb", 16, 16)], { full: true, away: 0 }))).toEqual(["a"]);
  });
});

describe("a full datastore has room again", () => {
  test.each([
    ["when each file shrank", [room("a", 10, 1), room("bb", 10, 1)], true],
    ["by its quota where it is told", [room("a", 15, 1, true, 20), room("bb", 10, 1)], true],
    ["not right below its quota", [room("a", 10, 1, true, 10), room("bb", 10, 1)], false],
    ["not while one stayed as it was", [room("a", 16, 16), room("bb", 10, 1)], false],
  ])("%s", (_when, after, expected) => {
    expect(hasRoom([room("a", 16, 1), room("bb", 16, 1)], after)).toBe(expected);
  });
});
