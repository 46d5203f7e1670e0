import { expect, test } from "vitest";
import { meshMembers, meshPort, refuseTakenPeer } from "../../../src/cluster/mesh/peers.ts";
import type { KnownMember } from "../../../src/cluster/roster.ts";

const member = (id: string, change: Partial<KnownMember> = {}): KnownMember => ({
  id,
  name: id,
  role: "worker",
  state: "active",
  addresses: ["10.0.0.1", "fd00::1"],
  k8sdAddress: "10.0.0.1:6400",
  publicKeyFingerprint: `key of ${id}`,
  meshPeer: `peer of ${id}`,
  podCidrs: [],
  changedAt: 0,
  ...change,
});

test.each([
  ["10.0.0.1:6400", 6401],
  ["[fd00::1]:7000", 7001],
  ["10.0.0.1:65535", 65534],
])("the mesh of a k8sd at %s listens on %i", (address, port) => {
  expect(meshPort(address)).toBe(port);
});

test("those who are in, or on their way out, and have said their peer id are peers; control planes author", () => {
  const { meshPeer: _older, ...silent } = member("older");
  const states = ["reserved", "joining", "leaving", "removed"] as const;
  const all = [
    member("cp", { role: "control-plane", k8sdAddress: "10.0.0.1:7000", changedAt: 5 }),
    member("worker", { changedAt: 6 }),
    silent,
    ...states.map((state) => member(state, { state })),
  ];
  expect(meshMembers(all)).toEqual([
    { id: "cp", peerId: "peer of cp", addresses: ["10.0.0.1:7001", "[fd00::1]:7001"], author: true },
    {
      ...{ id: "worker", peerId: "peer of worker", addresses: ["10.0.0.1:6401", "[fd00::1]:6401"], author: false },
      cameAt: 6,
    },
    { id: "leaving", peerId: "peer of leaving", addresses: ["10.0.0.1:6401", "[fd00::1]:6401"], author: false },
  ]);
});

test("nobody takes the peer id of another member; one's own, or that of one who is out, is free", () => {
  const { meshPeer: _older, ...silent } = member("older");
  const members = [member("a"), member("b", { state: "removed" }), silent];
  expect(() => refuseTakenPeer({ id: "thief", meshPeer: "peer of a" }, members)).toThrow(/mesh identity of a/);
  for (const self of [
    { id: "a", meshPeer: "peer of a" },
    { id: "new", meshPeer: "peer of b" },
    { id: "new", meshPeer: undefined },
  ]) {
    expect(() => refuseTakenPeer(self, members)).not.toThrow();
  }
});
