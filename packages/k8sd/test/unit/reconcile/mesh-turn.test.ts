import { expect, test } from "vitest";
import type { KnownMember } from "../../../src/cluster/roster.ts";
import { meshTurn } from "../../../src/reconcile/mesh-turn.ts";

const came = 1_000_000;

const member = (id: string, change: Partial<KnownMember> = {}): KnownMember => ({
  ...{ id, name: id, role: "worker", state: "active", addresses: [], k8sdAddress: "", publicKeyFingerprint: "" },
  ...{ podCidrs: [], changedAt: came },
  ...change,
});

const crowd = (count: number, change: Partial<KnownMember> = {}): KnownMember[] =>
  Array.from({ length: count }, (_, index) => member(`n${index}`, change));

const turns = (members: readonly KnownMember[], now = came): number[] =>
  [0, 0.5, 1].map((random) => meshTurn("self", members, now, random));

test("a node waits for those that come with it: all the same for half of it, and then in an order by chance", () => {
  expect(turns([member("self"), ...crowd(20)])).toEqual([15_000, 22_500, 30_000]);
});

test("those that are on their way count as those that came in the minute before or later", () => {
  const beside = [
    ...crowd(2, { state: "reserved" }),
    ...crowd(2, { state: "joining", changedAt: 0 }),
    ...crowd(2, { changedAt: came - 59_000 }),
    ...crowd(2, { changedAt: came + 5_000 }),
  ];
  const others = [...crowd(5, { changedAt: came - 61_000 }), ...crowd(5, { state: "leaving" })];
  expect(turns([member("self"), ...beside, ...others])).toEqual(turns([member("self"), ...crowd(8)]));
});

test("nobody waits longer than the others wait for it", () => {
  expect(turns([member("self"), ...crowd(500)])).toEqual([30_000, 45_000, 60_000]);
});

test.each([
  ["with a few", [member("self"), ...crowd(3)], came],
  ["that is a control plane", [member("self", { role: "control-plane" }), ...crowd(20)], came],
  ["that starts anew later", [member("self"), ...crowd(20)], came + 61_000],
  ["that the list does not name", crowd(20), came],
])("a node %s does not wait", (_which, members, now) => {
  expect(turns(members, now)).toEqual([0, 0, 0]);
});
