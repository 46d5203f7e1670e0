import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestAdmission, join, reserve, type TestAdmission } from "./admission-setup.ts";
import { holdMs, signal } from "./support.ts";

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
    const { id } = await join(one, await token(), "in");
    await expect(one.admission.release(id, signal())).rejects.toThrow("it is active");
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
