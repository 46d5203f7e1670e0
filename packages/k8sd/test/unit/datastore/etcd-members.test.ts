import { describe, expect, test } from "vitest";
import {
  describeQuorum,
  findMember,
  initialCluster,
  quorumOf,
  quorumWithout,
  reasonText,
  refusalOf,
} from "../../../src/datastore/etcd-members-facts.ts";
import type { EtcdMember, MemberHealth } from "../../../src/datastore/etcd-members-types.ts";
import { AppError } from "../../../src/lib/app-error.ts";

const healthy: MemberHealth = {
  ok: true,
  version: "3.5.30",
  leader: false,
  raftIndex: 10,
  raftAppliedIndex: 10,
  dbSize: 1,
  dbSizeInUse: 1,
  answerMs: 1,
};
const dead: MemberHealth = { ok: false, reason: "connection refused" };

/** n1, n2, … at 10.0.0.1, 10.0.0.2, …; h is healthy, d dead, l a healthy learner. */
function cluster(states: string): EtcdMember[] {
  return [...states].map((state, index) => ({
    id: BigInt(index + 1),
    name: `n${index + 1}`,
    peerUrls: [`https://10.0.0.${index + 1}:2380`],
    clientUrls: [`https://10.0.0.${index + 1}:2379`],
    isLearner: state === "l",
    started: true,
    health: state === "d" ? dead : healthy,
  }));
}

describe("quorum", () => {
  test.each([
    ["h", 1, 1, 1, true, 0],
    ["hh", 2, 2, 2, true, 0],
    ["hd", 2, 1, 2, false, 0],
    ["hhh", 3, 3, 2, true, 1],
    ["hhd", 3, 2, 2, true, 0],
    ["hdd", 3, 1, 2, false, 0],
    ["hhhh", 4, 4, 3, true, 1],
    ["hhhhh", 5, 5, 3, true, 2],
    ["hhl", 2, 2, 2, true, 0],
    ["", 0, 0, 1, false, 0],
  ])("of %s", (states, voters, healthyVoters, needed, has, canLose) => {
    expect(quorumOf(cluster(states))).toEqual({ voters, healthyVoters, needed, has, canLose });
  });

  test.each([
    ["hhd", 3, true],
    ["hhd", 1, false],
    ["hh", 2, true],
    ["hhl", 3, true],
  ])("of %s without member %i", (states, number, has) => {
    expect(quorumWithout(cluster(states), BigInt(number)).has).toBe(has);
  });

  test("is described with who is missing and why; a learner does not count", () => {
    expect(describeQuorum(cluster("hdl"))).toBe("1 of 2 voting members are healthy; n2: connection refused");
  });
});

describe("a member", () => {
  const members = cluster("hhh");

  test.each([
    ["number", { id: 2n }, 2n],
    ["name", { name: "n3" }, 3n],
    ["peer URL", { peerUrl: "https://10.0.0.1:2380" }, 1n],
    ["a name nobody has", { name: "n9" }, undefined],
  ])("is found by %s", (_by, who, id) => {
    expect(findMember(members, who)?.id).toBe(id);
  });

  test("is not guessed among namesakes", () => {
    const twice = members.map((member) => ({ ...member, name: "n1" }));
    expect(() => findMember(twice, { name: "n1" })).toThrow(/cannot tell which etcd member is meant/);
  });
});

describe("the initial cluster of a new member", () => {
  const self = { name: "n2", peerUrl: "https://10.0.0.2:2380" };

  test("has every member once, this one under its own name though etcd does not know it yet", () => {
    const members = cluster("hlh").map((member) => (member.name === "n2" ? { ...member, name: "" } : member));
    expect(initialCluster(members, self)).toEqual({
      n1: "https://10.0.0.1:2380",
      n2: "https://10.0.0.2:2380",
      n3: "https://10.0.0.3:2380",
    });
  });

  test("keeps members apart that have no name yet or bear the new one's", () => {
    const members = cluster("hlhh").map((member) =>
      member.id === 3n ? { ...member, name: "n2" } : member.id === 4n ? { ...member, name: "" } : member,
    );
    expect(initialCluster(members, self)).toEqual({
      n1: "https://10.0.0.1:2380",
      n2: "https://10.0.0.2:2380",
      "n2-3": "https://10.0.0.3:2380",
      "4": "https://10.0.0.4:2380",
    });
  });

  test("is refused when the membership was taken back, or a member has two URLs", () => {
    expect(() => initialCluster(cluster("h"), self)).toThrow(/no member at https:\/\/10.0.0.2:2380/);
    const two = cluster("hh").map((member) => ({ ...member, peerUrls: [...member.peerUrls, "https://x:2380"] }));
    expect(() => initialCluster(two, self)).toThrow(/not exactly one peer URL/);
  });
});

test.each([
  ["conflict", "etcdserver: too many learner members in cluster", "too-many-learners"],
  ["conflict", "etcdserver: Peer URLs already exists", "peer-exists"],
  ["not-found", "etcdserver: member not found", "not-found"],
  ["conflict", "etcdserver: can only promote a learner member which is in sync with leader", "not-in-step"],
  ["conflict", "etcdserver: can only promote a learner member", "not-a-learner"],
  ["conflict", "etcdserver: re-configuration failed due to not enough started members", "unsettled"],
  ["unavailable", "etcdserver: unhealthy cluster", "unsettled"],
  ["unavailable", "connect ECONNREFUSED", "unsettled"],
  ["timeout", "Deadline exceeded", "unsettled"],
  ["forbidden", "etcdserver: permission denied", "other"],
] as const)("%s '%s' is understood as %s", (kind, text, refusal) => {
  expect(refusalOf(new AppError(kind, `cannot add a member to the datastore: ${text}`))).toBe(refusal);
});

test("the reason of a failed call is short", () => {
  const reason = (text: string) =>
    reasonText(new AppError("unavailable", `cannot list the members of the datastore: ${text}`));
  expect(
    reason("No connection established. Last error: Error: connect ECONNREFUSED 10.0.0.1:2379. Resolution note: "),
  ).toBe("connect ECONNREFUSED 10.0.0.1:2379");
  expect(reason("etcdserver: unhealthy cluster")).toBe("unhealthy cluster");
});
