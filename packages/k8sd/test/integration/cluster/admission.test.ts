import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClusterConfig } from "../../../src/cluster/config/types.ts";
import type { Reservation } from "../../../src/cluster/ledger-admission.ts";
import {
  aClaim,
  anOrder,
  type ControlPlane,
  createTestCluster,
  holdMs,
  root,
  signal,
  type TestCluster,
} from "./support.ts";

let cluster: TestCluster;
let one: ControlPlane;
let two: ControlPlane;

beforeAll(async () => {
  cluster = await createTestCluster();
  one = cluster.controlPlane();
  two = cluster.controlPlane();
});
afterAll(() => cluster[Symbol.asyncDispose]());

const token = async (...args: Parameters<typeof anOrder>) =>
  (await one.tokens.create(anOrder(...args), root, signal())).secret;
const reserve = (at: ControlPlane, ...args: Parameters<typeof aClaim>) =>
  at.admission.reserve(aClaim(...args), signal());
const outcomes = async (attempts: readonly Promise<Reservation>[]) => {
  const settled = await Promise.allSettled(attempts);
  return settled.map((result) => (result.status === "fulfilled" ? "won" : String(result.reason.message)));
};
const usesOf = async (secret: string) => {
  const { value } = await one.tokens.find(secret, "test", signal());
  return { used: value.used, holds: Object.keys(value.holds).length };
};
async function join(at: ControlPlane, ...args: Parameters<typeof aClaim>) {
  const { member } = await reserve(at, ...args);
  await at.admission.begin(member.id, signal());
  return at.admission.commit(member.id, signal());
}

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

describe("a join that does not finish", () => {
  test("gives back token, name and pod range when it is released; again is no error", async () => {
    const secret = await token();
    const { member } = await reserve(one, secret, "undone");
    await one.admission.begin(member.id, signal());
    await one.admission.release(member.id, signal());
    await one.admission.release(member.id, signal());
    expect(await usesOf(secret)).toEqual({ used: 0, holds: 0 });
    expect(await one.ledger.memberNamed("undone", signal())).toBeUndefined();
    expect(await one.ledger.member(member.id, signal())).toMatchObject({ state: "removed" });
    await expect(one.admission.commit(member.id, signal())).rejects.toThrow("what was held for it is not any more");
    const other = await reserve(two, secret, "undone", { nodeId: "other", publicKeyFingerprint: "other" });
    expect(other.member.podSubnetIndex).toBe(member.podSubnetIndex);
  });

  test("the same machine can come back, as another incarnation of itself", async () => {
    const secret = await token();
    const { member } = await reserve(one, secret, "back");
    await one.admission.release(member.id, signal());
    expect((await reserve(one, secret, "back")).member).toMatchObject({ state: "reserved", incarnation: 2 });
  });

  test("with a new token the old attempt of the same node is given up", async () => {
    const [old, fresh] = [await token(), await token()];
    await reserve(one, old, "twice");
    await reserve(one, fresh, "twice");
    expect([await usesOf(old), await usesOf(fresh)]).toEqual([
      { used: 0, holds: 0 },
      { used: 0, holds: 1 },
    ]);
  });

  test("a new token that is no good leaves the old attempt as it is", async () => {
    const [old, bad] = [await token(), await token({ name: "somebody-else" })];
    await reserve(one, old, "careless");
    await expect(reserve(one, bad, "careless")).rejects.toThrow("the token is for a node with the name");
    expect(await usesOf(old)).toEqual({ used: 0, holds: 1 });
  });

  test("a member's join cannot be released", async () => {
    await expect(one.admission.release("id-of-w1", signal())).rejects.toThrow("it is active");
  });

  test("the datastore dies between reserve and commit: the reservation is there, and the join goes on", async () => {
    const secret = await token();
    const { member } = await reserve(one, secret, "survivor");
    await cluster.crash();
    // Another process of k8sd: it remembers nothing.
    const later = cluster.controlPlane();
    await expect.poll(() => reserve(later, secret, "survivor").then(({ member: same }) => same)).toEqual(member);
    await expect(reserve(later, secret, "greedy")).rejects.toThrow("another node is joining with this token");
    await later.admission.begin(member.id, signal());
    expect((await later.admission.commit(member.id, signal())).state).toBe("active");
  });

  test("a hold that ended goes to the next node, without any sweep", async () => {
    const secret = await token();
    await reserve(one, secret, "silent");
    cluster.pass(holdMs - 1);
    await expect(reserve(two, secret, "next")).rejects.toThrow("another node is joining");
    cluster.pass(1);
    expect((await reserve(two, secret, "next")).member.state).toBe("reserved");
    expect(await one.ledger.memberNamed("silent", signal())).toBeUndefined();
    await expect(one.admission.begin("id-of-silent", signal())).rejects.toThrow("what was held for it is not any more");
  });

  test("a node that is heard of keeps its hold", async () => {
    const secret = await token();
    const { member } = await reserve(one, secret, "slow");
    await one.admission.begin(member.id, signal());
    cluster.pass(holdMs - 1);
    await one.admission.renew(member.id, signal());
    cluster.pass(holdMs - 1);
    await expect(reserve(two, secret, "hasty")).rejects.toThrow("another node is joining");
    expect((await one.admission.commit(member.id, signal())).state).toBe("active");
  });

  test("one that had begun keeps its name until what it set up is gone; its token is free at once", async () => {
    const secret = await token();
    const { member } = await reserve(one, secret, "half");
    await one.admission.begin(member.id, signal());
    cluster.pass(holdMs);
    expect((await one.sweep()).holds).toBeGreaterThanOrEqual(1);
    expect(await one.ledger.member(member.id, signal())).toMatchObject({ state: "leaving" });
    expect(await usesOf(secret)).toEqual({ used: 0, holds: 0 });
    await expect(reserve(one, secret, "half", { nodeId: "new" })).rejects.toThrow("a node with this name is a member");
    await expect(reserve(one, secret, "half")).rejects.toThrow("the node is being removed");
    await one.ledger.remove(member.id, cluster.now(), signal());
    expect((await reserve(one, secret, "half", { nodeId: "new" })).member.state).toBe("reserved");
  });

  test("and whose node is taken out gives its token back with its place; again is no error", async () => {
    const secret = await token();
    const { member } = await reserve(one, secret, "taken-out");
    await one.admission.begin(member.id, signal());
    expect(await usesOf(secret)).toEqual({ used: 0, holds: 1 });
    await one.ledger.leave(member.id, cluster.now(), signal());
    await one.ledger.remove(member.id, cluster.now(), signal());
    await two.ledger.remove(member.id, cluster.now(), signal());
    expect(await usesOf(secret)).toEqual({ used: 0, holds: 0 });
    await expect(one.admission.commit(member.id, signal())).rejects.toThrow(/what was held for it is not any more/);
    const again = await reserve(one, secret, "taken-out");
    expect(again.member).toMatchObject({ state: "reserved", incarnation: 2 });
  });

  test("a token that expires during the join does not end it", async () => {
    const secret = await token({ ttlMs: 1_000 });
    const { member } = await reserve(one, secret, "in-time");
    cluster.pass(1_000);
    await one.admission.begin(member.id, signal());
    expect((await one.admission.commit(member.id, signal())).state).toBe("active");
    await expect(reserve(one, await token({ ttlMs: 0, name: "late" }), "in-time")).rejects.toThrow(
      "is a member already",
    );
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
