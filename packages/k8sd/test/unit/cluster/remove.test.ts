import { describe, expect, test } from "vitest";
import { planLeave } from "../../../src/cluster/leave/plan.ts";
import type { MemberRecord } from "../../../src/cluster/ledger-records.ts";
import { findMember } from "../../../src/cluster/remove/find.ts";
import { planRemove } from "../../../src/cluster/remove/plan.ts";

const member = (id: string, name: string, address: string, state: MemberRecord["state"] = "active"): MemberRecord => ({
  id,
  name,
  publicKeyFingerprint: id,
  addresses: [address],
  k8sdAddress: `${address}:6400`,
  role: "control-plane",
  state,
  incarnation: 1,
  versions: {},
  changedAt: 0,
  revision: 1,
});

describe("the node that is meant", () => {
  const members = [
    member("id-1", "n1", "10.0.0.1"),
    member("id-2", "n2", "10.0.0.2"),
    member("id-3", "n2", "10.0.0.3", "removed"),
    member("id-4", "10.0.0.1", "10.0.0.4"),
    member("id-5", "n5", "10.0.0.6"),
    member("id-6", "n6", "10.0.0.6"),
    { ...member("id-7", "n7.example", "fd00::7"), k8sdAddress: "[fd00::7]:6400" },
  ];

  test.each([
    ["its name", "n1", "id-1"],
    ["its id", "id-2", "id-2"],
    ["an address", "10.0.0.2", "id-2"],
    ["an address with its port", "10.0.0.2:6400", "id-2"],
    ["the name that somebody had before", "n2", "id-2"],
    ["the id of one that is out", "id-3", "id-3"],
    ["a name that is another one's address", "10.0.0.1", "id-4"],
    ["a name with capitals, as its host has it", "N7.Example", "id-7"],
    ["an IPv6 address as somebody else writes it", "FD00:0::7", "id-7"],
    ["an IPv6 address in brackets", "[fd00::7]", "id-7"],
    ["an IPv6 address in brackets with its port", "[fd00:0:0::7]:6400", "id-7"],
  ])("is found by %s", (_how, who, id) => {
    expect(findMember(members, who)?.id).toBe(id);
  });

  test("is nobody under an unknown name, and asked for where an address is not one node's alone", () => {
    expect(findMember(members, "n9")).toBeUndefined();
    expect(() => findMember(members, "10.0.0.6")).toThrow(/n5 \(id-5\), n6 \(id-6\)/);
  });
});

describe("the plan of a removal", () => {
  const input = (role: "control-plane" | "worker", force = false) => ({
    member: { id: "id", name: "n2", role, addresses: ["10.0.0.2"] },
    force,
    drainMs: 1,
    until: 1,
  });
  const kinds = (...args: Parameters<typeof planRemove>) => planRemove(...args).steps.map(({ kind }) => kind);

  test("takes etcd's member and the Node away before the ledger forgets, and is on from the first step", () => {
    const cluster = { kubernetes: true, managedEtcd: true, standsStill: false };
    expect(kinds(input("control-plane"), cluster, "r")).toEqual([
      "mark-leaving",
      "drain",
      "leave-datastore",
      "delete-node",
      "forget-member",
    ]);
    expect(planRemove(input("worker"), cluster, "r").commit).toBe(0);
  });

  test("leaves out what there is not, and with force does not wait for Pods", () => {
    expect(kinds(input("worker"), { kubernetes: true, managedEtcd: true, standsStill: false }, "r")).not.toContain(
      "leave-datastore",
    );
    expect(
      kinds(input("worker", true), { kubernetes: true, managedEtcd: true, standsStill: false }, "r"),
    ).not.toContain("drain");
    expect(kinds(input("control-plane"), { kubernetes: false, managedEtcd: false, standsStill: false }, "r")).toEqual([
      "mark-leaving",
      "forget-member",
    ]);
  });
});

test("what costs etcd its majority says so, and does not wait for etcd, which refuses it", () => {
  const member = { id: "id", name: "n2", role: "control-plane", addresses: ["10.0.0.2"] } as const;
  const order = { member, force: true, drainMs: 1, until: 1 };
  const { steps } = planRemove(order, { kubernetes: true, managedEtcd: true, standsStill: true }, "r");
  expect(steps.map(({ kind }) => kind)).toEqual(["mark-leaving", "delete-node", "forget-member"]);
  expect(steps.at(-1)?.title).toMatch(/loses its majority.*stands still until 'k8s recover'/);
});

test("a leave waits for the cluster where it asks it, and forgets it last", () => {
  const kinds = (cluster: "asks" | "tells" | "knows") =>
    planLeave({ name: "n2", cluster }, "r").steps.map(({ kind }) => kind);
  const own = ["stop-services", "take-back", "forget-cluster"];
  expect(kinds("asks")).toEqual(["tell-cluster", "await-removal", ...own]);
  expect(kinds("tells")).toEqual(["tell-cluster", ...own]);
  expect(kinds("knows")).toEqual(own);
  const [costly] = planLeave({ name: "n2", cluster: "tells", standsStill: true }, "r").steps;
  expect(costly?.title).toMatch(/loses its majority.*stands still until 'k8s recover'/);
});
