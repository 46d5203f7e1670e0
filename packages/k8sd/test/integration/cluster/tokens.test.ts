import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { aClaim, anOrder, type ControlPlane, createTestCluster, root, signal, type TestCluster } from "./support.ts";

let cluster: TestCluster;
let one: ControlPlane;
let two: ControlPlane;

beforeAll(async () => {
  cluster = await createTestCluster();
  one = cluster.controlPlane();
  two = cluster.controlPlane();
});
afterAll(() => cluster[Symbol.asyncDispose]());

const day = 86_400_000;
const create = (at: ControlPlane, ...args: Parameters<typeof anOrder>) =>
  at.tokens.create(anOrder(...args), root, signal());
const forControlPlane = (name: string, change: Parameters<typeof anOrder>[0] = {}) =>
  ({ role: "control-plane", name, ...change }) as const;
const listed = async (id: string) => (await one.tokens.list(signal())).find((token) => token.id === id);
const anywhere = { role: "worker", name: "w", source: "10.0.0.9" } as const;

describe("creating a token", () => {
  test("secrets have the form that their kind has, and live a day unless said otherwise", async () => {
    const worker = await create(one);
    const controlPlane = await create(one, forControlPlane("n2", { ttlMs: 5_000 }));
    expect(worker.secret).toMatch(/^worker::[\da-f]{40}$/);
    expect(controlPlane.secret).toMatch(/^[\da-f]{64}$/);
    expect(worker.token.expiresAt).toBe(cluster.now() + day);
    expect(controlPlane.token.expiresAt).toBe(cluster.now() + 5_000);
  });

  test("nothing in the datastore is a secret, or can be turned into one [G43]", async () => {
    const { secret } = await create(one);
    const { kvs } = await one.datastore.range({ prefix: "k8sd/" });
    const all = kvs.map(({ key, value }) => Buffer.from(key).toString() + Buffer.from(value).toString()).join("\n");
    expect(all).toContain('"hash"');
    expect(all).not.toContain(secret.replace("worker::", ""));
  });

  test("a control plane that is asked for again gets the same secret, with the life and binding of the new request [A13]", async () => {
    const first = await create(one, forControlPlane("again", { ttlMs: 10 * day }));
    cluster.pass(1_000);
    const second = await create(two, forControlPlane("again", { ttlMs: 2_000, cidrs: ["10.0.0.0/8"] }));
    expect(second.secret).toBe(first.secret);
    expect(await listed(first.token.id)).toMatchObject({ expiresAt: cluster.now() + 2_000, cidrs: ["10.0.0.0/8"] });
    cluster.pass(2_000);
    expect((await create(one, forControlPlane("again"))).secret).not.toBe(first.secret);
  });

  test("two that ask for one control plane at once get the same secret", async () => {
    const issued = await Promise.all([one, two, one, two].map((at) => create(at, forControlPlane("at-once"))));
    expect(new Set(issued.map(({ secret }) => secret)).size).toBe(1);
    const named = (await one.tokens.list(signal())).filter(({ name }) => name === "at-once");
    expect(named).toHaveLength(1);
  });

  test("a revoked one is not given out again", async () => {
    const first = await create(one, forControlPlane("revoked"));
    await one.tokens.revoke(first.token.id, root, signal());
    expect((await create(one, forControlPlane("revoked"))).secret).not.toBe(first.secret);
  });

  test("where the key of the seal is another one, the secret cannot be told, so there is a new one", async () => {
    const first = await create(one, forControlPlane("resealed"));
    const stranger = cluster.controlPlane({ sealKey: new Uint8Array(32).fill(9) });
    const second = await create(stranger, forControlPlane("resealed"));
    expect(second.secret).not.toBe(first.secret);
    const claim = { role: "control-plane", name: "resealed", source: "10.0.0.9" } as const;
    for (const { secret, token } of [first, second]) {
      expect((await one.tokens.check(secret, claim, signal()))?.id).toBe(token.id);
    }
  });

  test("workers get a new one each time, also of the same name", async () => {
    const [a, b] = [await create(one, { name: "w7" }), await create(one, { name: "w7" })];
    expect(a.secret).not.toBe(b.secret);
  });

  test.each([
    [forControlPlane(""), "a node name is required for control-plane nodes"],
    [forControlPlane("n9", { uses: 2 }), "uses can only be more than 1 for workers of any name"],
    [{ name: "w1", uses: 2 }, "uses can only be more than 1 for workers of any name"],
    [{ uses: 0 }, "uses must be between 1 and 1000"],
    [{ uses: 1_001 }, "uses must be between 1 and 1000"],
    [{ uses: 1.5 }, "uses must be between 1 and 1000"],
    [{ cidrs: ["10.0.0.0"] }, '"10.0.0.0", which is not a CIDR'],
    [{ ttlMs: 4_000 * day }, "ttl can be at most ten years"],
  ])("%j is refused: %s", async (order, reason) => {
    await expect(create(one, order)).rejects.toMatchObject({
      message: expect.stringContaining(reason),
      remedy: expect.stringMatching(/\.$/),
    });
  });
});

describe("a token's end", () => {
  test("checking changes nothing; expired, revoked and wrong ones are no good", async () => {
    const { secret, token } = await create(one, { ttlMs: 1_000 });
    expect(await two.tokens.check(secret, anywhere, signal())).toEqual(token);
    expect(await two.tokens.check(secret, { ...anywhere, role: "control-plane" }, signal())).toBeUndefined();
    cluster.pass(1_000);
    expect(await two.tokens.check(secret, anywhere, signal())).toBeUndefined();
    const other = await create(one);
    await one.tokens.revoke(other.token.id, root, signal());
    await one.tokens.revoke(other.token.id, root, signal());
    expect(await two.tokens.check(other.secret, anywhere, signal())).toBeUndefined();
  });

  test.each(["000000000000", "../../auth-tokens", "", "ABCDEFABCDEF"])("revoking %j: there is none", async (id) => {
    await expect(one.tokens.revoke(id, root, signal())).rejects.toMatchObject({ kind: "not-found" });
  });

  test("revoking stops a node that is still joining, and frees its name", async () => {
    const { secret, token } = await create(one);
    const { member } = await one.admission.reserve(aClaim(secret, "stopped"), signal());
    await one.admission.begin(member.id, signal());
    const waiting = await create(one);
    await one.admission.reserve(aClaim(waiting.secret, "waiting"), signal());
    await two.tokens.revoke(token.id, root, signal());
    await two.tokens.revoke(waiting.token.id, root, signal());
    await expect(one.admission.commit(member.id, signal())).rejects.toThrow("its token was revoked");
    await expect(one.admission.reserve(aClaim(secret, "stopped"), signal())).rejects.toThrow("the token was revoked");
    await two.sweep();
    expect((await listed(token.id))?.holds).toEqual({});
    expect(await one.ledger.memberNamed("waiting", signal())).toBeUndefined();
    expect(await one.ledger.memberNamed("stopped", signal())).toMatchObject({ state: "leaving" });
  });

  test("ended ones are listed for a day and then forgotten; old tombstones after a month", async () => {
    const { token } = await create(one, forControlPlane("short", { ttlMs: 1_000 }));
    const { secret } = await create(one);
    await one.admission.reserve(aClaim(secret, "gone"), signal());
    await one.admission.release("id-of-gone", signal());
    cluster.pass(day);
    await Promise.all([one.sweep(), two.sweep()]);
    expect(await listed(token.id)).toBeDefined();
    cluster.pass(1_000);
    await Promise.all([one.sweep(), two.sweep()]);
    expect(await listed(token.id)).toBeUndefined();
    expect(await one.ledger.member("id-of-gone", signal())).toMatchObject({ state: "removed" });
    cluster.pass(29 * day);
    await one.sweep();
    expect(await one.ledger.member("id-of-gone", signal())).toBeUndefined();
    expect(await one.tokens.list(signal())).toEqual([]);
    const { kvs } = await one.datastore.range({ prefix: "k8sd/tokens/" });
    expect(kvs).toEqual([]);
  });
});

describe("wrong secrets and the audit", () => {
  test("a source that presents too many is refused for a while, others are not", async () => {
    const plane = cluster.controlPlane();
    const { secret } = await create(plane);
    const guess = (source: string) => plane.tokens.find("worker::guess", source, signal());
    for (let count = 0; count < 10; count += 1) {
      await expect(guess("192.0.2.1")).rejects.toMatchObject({ kind: "unauthorized", message: "invalid token" });
    }
    await expect(guess("192.0.2.1")).rejects.toThrow("too many invalid tokens from 192.0.2.1");
    await expect(plane.tokens.find(secret, "192.0.2.1", signal())).rejects.toThrow("too many invalid tokens");
    expect((await plane.tokens.find(secret, "192.0.2.2", signal())).value.uses).toBe(1);
    cluster.pass(6_000);
    expect((await plane.tokens.find(secret, "192.0.2.1", signal())).value.uses).toBe(1);
    const wrong = plane.audit.latest(100).filter(({ action }) => action === "join-token.find");
    expect(wrong).toHaveLength(10);
  });

  test("every use is recorded: who, from where, with what outcome", async () => {
    const plane = cluster.controlPlane();
    const { secret, token } = await create(plane, { name: "audited" });
    await expect(plane.admission.reserve(aClaim(secret, "wrong-name"), signal())).rejects.toThrow();
    const { member } = await plane.admission.reserve(aClaim(secret, "audited"), signal());
    await plane.admission.begin(member.id, signal());
    await plane.admission.commit(member.id, signal());
    await plane.tokens.revoke(token.id, { actor: "capi-auth-token", source: "10.0.0.7" }, signal());
    const entries = plane.audit.latest(10).toReversed();
    expect(entries.map(({ actor, action, outcome }) => [actor, action, outcome])).toEqual([
      ["root", "join-token.create", "ok"],
      ["node id-of-wrong-name", "join-token.reserve", 'the token is for a node with the name "audited"'],
      ["node id-of-audited", "join-token.reserve", "ok"],
      ["node id-of-audited", "join-token.commit", "ok"],
      ["capi-auth-token", "join-token.revoke", "ok"],
    ]);
    expect(entries[2]?.details).toEqual({ id: token.id, name: "audited", source: "10.0.0.9" });
    expect(JSON.stringify(entries)).not.toContain(secret);
  });
});
