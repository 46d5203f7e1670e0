import { describe, expect, test } from "vitest";
import type { MemberState, StoredMember } from "../../../../src/cluster/ledger-records.ts";
import { fateOf, memberWrites, type TakeOver } from "../../../../src/cluster/ledger-restore.ts";
import { restoredEpoch, restoredRevision } from "../../../../src/cluster/snapshot/restore-prepare.ts";

function member(id: string, changes: Partial<StoredMember> = {}): StoredMember {
  return {
    id,
    name: id,
    publicKeyFingerprint: `key-${id}`,
    addresses: ["10.0.0.1"],
    k8sdAddress: "10.0.0.1:6400",
    role: "control-plane",
    state: "active",
    incarnation: 3,
    versions: {},
    podSubnetIndex: 7,
    changedAt: 1,
    ...changes,
  };
}

function order(name: string, podSubnetIndex = 0): TakeOver {
  const { id, publicKeyFingerprint, addresses, k8sdAddress, versions } = member("me");
  const recovery = { id: "r", by: name, term: 0, index: 5, at: 9 };
  const self = { id, name, publicKeyFingerprint, addresses, k8sdAddress, versions };
  return { self, podSubnetIndex, engine: "etcd", epoch: 2, recovery, at: 9 };
}

function written(members: readonly StoredMember[], to: TakeOver): Record<string, unknown> {
  const writes = memberWrites(members, to);
  // etcd takes no key twice in one transaction.
  expect(new Set(writes.map(({ key }) => key)).size).toBe(writes.length);
  return Object.fromEntries(writes.map(({ key, value }) => [key, value]));
}

describe("the revision of a restored datastore", () => {
  const now = Date.parse("2026-03-01T12:00:00Z");
  test("lies above those of a cluster that was restored from the same snapshot before, and went on", () => {
    const first = restoredRevision(4_711, 0, now);
    expect(first).toBeGreaterThan(4_711 + 1_000_000_000);
    // A minute at more writes per second than there ever were.
    const reached = first + 60 * 100_000;
    expect(restoredRevision(4_711, 0, now + 60_000)).toBeGreaterThan(reached);
    expect(restoredRevision(4_711, reached, now + 60_000)).toBeGreaterThan(reached + 900_000_000);
  });

  test("rises also when the clock was set back, and stays a whole number that programs can hold", () => {
    const first = restoredRevision(4_711, 0, now);
    expect(restoredRevision(4_711, first, 0)).toBe(first + 1_000_000_000);
    expect(Number.isSafeInteger(restoredRevision(0, 0, Date.parse("2200-01-01T00:00:00Z")))).toBe(true);
  });
});

describe("the epoch that begins on a fresh machine", () => {
  const made = Date.parse("2026-03-01T12:00:00Z");
  test.each([
    ["the next one", 30_000, 3],
    ["above all that may have begun since", 3_600_000, 63],
    ["the next one where the clock was set back", -3_600_000, 3],
  ])("is %s", (_, later, epoch) => {
    expect(restoredEpoch(2, made, made + later)).toBe(epoch);
  });
});

describe("the members of a restored cluster", () => {
  test.each<[MemberState, StoredMember["role"], string]>([
    ["active", "control-plane", "removed"],
    ["leaving", "control-plane", "removed"],
    ["active", "worker", "kept"],
    ["leaving", "worker", "kept"],
    ["joining", "worker", "forgotten"],
    ["reserved", "control-plane", "forgotten"],
    ["removed", "control-plane", "gone"],
  ])("that were %s as %s are %s", (state, role, fate) => {
    expect(fateOf(member("other", { state, role }), { id: "me", name: "me" })).toBe(fate);
  });

  test("other control planes are out at once, workers stay as they are", () => {
    const writes = written([member("me"), member("cp2"), member("w1", { role: "worker" })], order("me"));
    expect(writes["k8sd/members/cp2"]).toMatchObject({ state: "removed", changedAt: 9 });
    expect("k8sd/names/cp2" in writes && writes["k8sd/names/cp2"]).toBeUndefined();
    expect(Object.keys(writes).filter((key) => key.includes("w1"))).toEqual([]);
    expect(writes["k8sd/members/me"]).toMatchObject({ state: "active", incarnation: 3, podSubnetIndex: 0 });
  });

  test("a new machine with the name of an old one has its name and its part of the pod range", () => {
    const writes = written([member("old", { name: "n1" })], order("n1", 7));
    expect(writes["k8sd/members/old"]).toMatchObject({ state: "removed" });
    expect(writes["k8sd/names/n1"]).toBe("me");
    expect(writes["k8sd/pod-subnets/00000007"]).toBe("me");
    expect(writes["k8sd/members/me"]).toMatchObject({ name: "n1", incarnation: 1, podSubnetIndex: 7 });
  });

  test("a join that was under way is over, and gives back what it held", () => {
    const joining = member("w2", { state: "joining", role: "worker", podSubnetIndex: 4 });
    const writes = written([joining], order("n1"));
    expect(writes["k8sd/members/w2"]).toMatchObject({ state: "removed" });
    expect("k8sd/names/w2" in writes && writes["k8sd/names/w2"]).toBeUndefined();
    expect("k8sd/pod-subnets/00000004" in writes && writes["k8sd/pod-subnets/00000004"]).toBeUndefined();
  });
});
