import { describe, expect, test } from "vitest";
import type { MemberState, StoredMember } from "../../../src/cluster/ledger-records.ts";
import { lowestFree, podSubnetCount } from "../../../src/cluster/ledger-subnets.ts";
import { moved, tombstone } from "../../../src/cluster/ledger-transitions.ts";

const member: StoredMember = {
  id: "id-1",
  name: "n1",
  publicKeyFingerprint: "ab",
  addresses: ["10.0.0.1"],
  k8sdAddress: "10.0.0.1:6400",
  role: "worker",
  state: "reserved",
  incarnation: 1,
  versions: {},
  podSubnetIndex: 3,
  changedAt: 5,
};

const states: readonly MemberState[] = ["reserved", "joining", "active", "leaving", "removed"];
const allowed = [
  "reserved → joining",
  "reserved → removed",
  "joining → active",
  "joining → leaving",
  "joining → removed",
  "active → leaving",
  "leaving → removed",
  "removed → reserved",
];

describe("a member's state", () => {
  test.each(states.flatMap((from) => states.map((to) => [from, to] as const)))("%s → %s", (from, to) => {
    const change = () => moved({ ...member, state: from }, to, 9);
    if (allowed.includes(`${from} → ${to}`)) expect(change()).toEqual({ ...member, state: to, changedAt: 9 });
    else expect(change).toThrow(`cannot make node n1 ${to}: it is ${from}`);
  });

  test("a tombstone owns no part of the pod range", () => {
    const { podSubnetIndex: _free, ...rest } = member;
    expect(tombstone(member, 9)).toEqual({ ...rest, state: "removed", changedAt: 9 });
  });
});

describe("parts of the pod range", () => {
  test.each([
    [[], 4, 0],
    [[0, 1, 3], 4, 2],
    [[0, 1, 2, 3], 4, undefined],
    [[7], 4, 0],
  ])("of %j below %d the lowest free is %s", (taken, limit, index) => {
    expect(lowestFree(taken, limit)).toBe(index);
  });

  test.each([
    ["10.1.0.0/16", true, 256],
    ["10.1.0.0/26", true, 1],
    ["10.1.0.0/16,fd01::/108", true, 256],
    ["10.1.0.0/16,fd01::/118", true, 4],
    ["fd01::/48", true, 65_536],
    ["10.1.0.0/24", false, 65_536],
  ])("%s with our network %s is enough for %d nodes", (cidr, enabled, count) => {
    expect(podSubnetCount({ network: { "pod-cidr": cidr, enabled } })).toBe(count);
  });
});
