import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClusterConfig } from "../../../src/cluster/config/types.ts";
import type { Reservation } from "../../../src/cluster/ledger-admission.ts";
import { createTestAdmission, join, reserve, type TestAdmission } from "./admission-setup.ts";
import { anOrder, createTestCluster, holdMs, root, signal } from "./support.ts";

let made: TestAdmission;
let cluster: TestAdmission["cluster"];
let one: TestAdmission["one"];
let two: TestAdmission["two"];
let token: TestAdmission["token"];
let usesOf: TestAdmission["usesOf"];

beforeAll(async () => {
  made = await createTestAdmission();
  ({ cluster, one, two, token, usesOf } = made);
});
afterAll(() => made[Symbol.asyncDispose]());

const outcomes = async (attempts: readonly Promise<Reservation>[]) => {
  const settled = await Promise.allSettled(attempts);
  return settled.map((result) => (result.status === "fulfilled" ? "won" : String(result.reason.message)));
};

describe("a node comes in", () => {
  test("through reserved and joining to active, and its use of the token is spent once", async () => {
    const secret = await token();
    const { member, heldUntil } = await reserve(one, secret, "w1");
    expect(member).toMatchObject({
      id: "id-of-w1",
      name: "w1",
      role: "worker",
      state: "reserved",
      incarnation: 1,
      publicKeyFingerprint: "key-of-w1",
      podSubnetIndex: 1,
      versions: { k8sd: "1" },
    });
    expect(member).not.toHaveProperty("secret");
    expect(heldUntil).toBe(cluster.now() + holdMs);
    expect((await one.admission.begin(member.id, signal())).member.state).toBe("joining");
    expect(await usesOf(secret)).toEqual({ used: 0, holds: 1 });
    const active = await two.admission.commit(member.id, signal());
    expect(active.state).toBe("active");
    expect(await two.admission.commit(member.id, signal())).toEqual(active);
    expect(await usesOf(secret)).toEqual({ used: 1, holds: 0 });
    expect(await two.ledger.memberNamed("w1", signal())).toEqual(active);
  });

  test("asking again gives the same reservation, also after it became a member", async () => {
    const secret = await token();
    const first = await reserve(one, secret, "again");
    cluster.pass(1_000);
    const second = await reserve(two, secret, "again");
    expect(second.member).toEqual(first.member);
    expect(second.heldUntil).toBe(cluster.now() + holdMs);
    expect(await usesOf(secret)).toEqual({ used: 0, holds: 1 });
    await one.admission.begin(first.member.id, signal());
    const active = await one.admission.commit(first.member.id, signal());
    expect(await reserve(two, secret, "again")).toEqual({ member: active, heldUntil: undefined });
  });

  test("a commit before it has begun is refused", async () => {
    const { member } = await reserve(one, await token(), "early");
    await expect(one.admission.commit(member.id, signal())).rejects.toThrow("cannot make node early active");
  });

  test("its id with another key is refused", async () => {
    const secret = await token({ uses: 3 });
    await reserve(one, secret, "mine");
    await expect(reserve(one, secret, "mine", { publicKeyFingerprint: "thief" })).rejects.toThrow(
      "its id belongs to another node",
    );
    expect(await usesOf(secret)).toEqual({ used: 0, holds: 1 });
  });

  test("under another name when it tries again: the old one is free, and the token held once", async () => {
    const secret = await token();
    const first = await reserve(one, secret, "typo");
    await one.admission.begin(first.member.id, signal());
    const { member } = await reserve(two, secret, "typo", { name: "right" });
    expect(member).toMatchObject({ id: first.member.id, name: "right", state: "reserved" });
    expect(await one.ledger.memberNamed("typo", signal())).toBeUndefined();
    expect(await usesOf(secret)).toEqual({ used: 0, holds: 1 });
    await one.admission.begin(member.id, signal());
    await one.admission.commit(member.id, signal());
    await expect(reserve(two, secret, "typo")).rejects.toMatchObject({
      message: expect.stringContaining("the node is a member already, with the name right"),
      remedy: expect.stringContaining("'k8s remove-node right'"),
    });
  });

  test.each(["reserved", "joining", "active"])(
    "%s, is known at the address from which it tries again",
    async (state) => {
      const secret = await token();
      const first = await reserve(one, secret, `moved-${state}`);
      if (state !== "reserved") await one.admission.begin(first.member.id, signal());
      if (state === "active") await one.admission.commit(first.member.id, signal());
      const now = { addresses: ["10.7.7.7"], k8sdAddress: "10.7.7.7:6400", versions: { k8sd: "2" } };
      const { member } = await reserve(two, secret, `moved-${state}`, now);
      expect(member).toMatchObject({ state, ...now });
      expect(await one.ledger.member(member.id, signal())).toEqual(member);
    },
  );

  test("what a token does not allow is refused with the reason, and nothing is held", async () => {
    const secret = await token({ name: "bound", cidrs: ["10.0.0.0/24"] });
    await expect(reserve(one, secret, "unbound")).rejects.toThrow('the token is for a node with the name "bound"');
    await expect(reserve(one, secret, "bound", { source: "10.9.9.9" })).rejects.toThrow("cannot be used from 10.9.9.9");
    await expect(reserve(one, secret, "bound", { role: "control-plane" })).rejects.toThrow("for a worker node");
    expect(await usesOf(secret)).toEqual({ used: 0, holds: 0 });
    expect(await one.ledger.memberNamed("unbound", signal())).toBeUndefined();
  });
});

describe("races", () => {
  test("one node that asks several control planes at once has one reservation", async () => {
    const secret = await token();
    const answers = await Promise.all([one, two, one, two].map((at) => reserve(at, secret, "everywhere")));
    for (const { member } of answers) expect(member).toEqual(answers[0]?.member);
    expect(await usesOf(secret)).toEqual({ used: 0, holds: 1 });
    await Promise.all([one, two].map((at) => at.admission.begin("id-of-everywhere", signal())));
    await Promise.all([one, two].map((at) => at.admission.commit("id-of-everywhere", signal())));
    expect(await usesOf(secret)).toEqual({ used: 1, holds: 0 });
  });

  test("of two nodes for one use exactly one wins", async () => {
    const secret = await token();
    const result = await outcomes([reserve(one, secret, "race-a"), reserve(two, secret, "race-b")]);
    expect(result.toSorted()).toEqual([
      expect.stringMatching(/cannot join as race-[ab]: another node is joining with this token/),
      "won",
    ]);
    expect(await usesOf(secret)).toEqual({ used: 0, holds: 1 });
  });

  test("of many nodes for one name exactly one wins", async () => {
    const secrets = await Promise.all(Array.from({ length: 8 }, () => token()));
    const attempts = secrets.map((secret, index) =>
      reserve(index % 2 === 0 ? one : two, secret, "same", {
        nodeId: `same-${index}`,
        publicKeyFingerprint: `${index}`,
      }),
    );
    const result = await outcomes(attempts);
    expect(result.filter((outcome) => outcome === "won")).toHaveLength(1);
    expect(result.filter((outcome) => outcome.includes("a node with this name is joining already"))).toHaveLength(7);
    const held = await Promise.all(secrets.map(usesOf));
    expect(held.reduce((sum, { holds }) => sum + holds, 0)).toBe(1);
  });

  test("forty nodes join at once with one token through two control planes, each with a pod range of its own", async () => {
    const secret = await token({ uses: 40 });
    const names = Array.from({ length: 41 }, (_, index) => `many-${index}`);
    const results = await Promise.allSettled(
      names.map((name, index) => join(index % 2 === 0 ? one : two, secret, name)),
    );
    const joined = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    expect(joined).toHaveLength(40);
    expect(await usesOf(secret)).toEqual({ used: 40, holds: 0 });
    const all = (await one.ledger.members(signal())).flatMap(({ podSubnetIndex }) => podSubnetIndex ?? []);
    expect(new Set(all).size).toBe(all.length);
  });
});

test("a pod range without a free part refuses the node and holds nothing", async () => {
  await using small = await createTestCluster("10.1.0.0/23");
  const plane = small.controlPlane();
  const { secret } = await plane.tokens.create(anOrder({ uses: 2 }), root, signal());
  expect((await reserve(plane, secret, "fits")).member.podSubnetIndex).toBe(1);
  await expect(reserve(plane, secret, "too-many")).rejects.toThrow("no part of pod-cidr is left");
  expect(await plane.ledger.memberNamed("too-many", signal())).toBeUndefined();
  expect((await plane.ledger.config(signal())) satisfies ClusterConfig | undefined).toBeDefined();
});
