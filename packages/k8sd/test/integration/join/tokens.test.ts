import { access, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { decodeJoinToken, encodeJoinToken } from "../../../src/cluster/tokens-encoding.ts";
import { bootstrap, createNode, freePort, joinCluster, membersOf, type TestNode, token } from "./nodes.ts";

let founder: TestNode;
beforeAll(async () => {
  founder = await createNode("n1");
  await bootstrap(founder);
}, 60_000);
afterAll(() => founder[Symbol.asyncDispose]());

const worker = { name: "", worker: true, ttl: 0 };

interface Listed {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly used: number;
  readonly joining: number;
}

/** As `k8s tokens` shows it; found by the name that it is for. */
async function listed(name: string): Promise<Listed> {
  const { json } = await founder.call("GET", "/1.0/k8sd/cluster/tokens");
  const found = (json.metadata as { tokens: Listed[] }).tokens.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no token is for ${name}`);
  return found;
}
const revoke = async (name: string) => {
  const { id } = await listed(name);
  expect((await founder.call("DELETE", `/1.0/k8sd/cluster/tokens/${id}`)).status).toBe(200);
};
const named = (name: string, more: object = {}) => token(founder, { ...worker, name, ...more });

/** Refused with this reason, nothing left, nobody new, and the token as good as before. */
async function isRefused(node: TestNode, joinToken: string, reason: RegExp): Promise<void> {
  const { status, json } = await joinCluster(node, joinToken);
  expect(status).toBe(500);
  expect(json.error).toMatch(reason);
  expect(await node.leftovers()).toEqual([]);
  expect(await membersOf(founder)).not.toHaveProperty(node.name);
}

describe("a token", () => {
  test("for a worker makes no control plane, also when it was changed to look like one, and stays good [G45]", async () => {
    await using node = await createNode("r1");
    const joinToken = await named("r1");
    const forged = encodeJoinToken({ ...decodeJoinToken(joinToken), role: "control-plane" });
    await isRefused(node, forged, /the token is for a worker node, not for a control-plane node/);
    expect(await listed("r1")).toMatchObject({ state: "valid", used: 0, joining: 0 });
    expect((await joinCluster(node, joinToken)).json.error).toBe("");
    expect(await listed("r1")).toMatchObject({ state: "used-up", used: 1, joining: 0 });
  });

  test("for one name does not let in another, and stays good for the right one [G45]", async () => {
    await using other = await createNode("other");
    await using right = await createNode("r2");
    const joinToken = await named("r2");
    await isRefused(other, joinToken, /the token is for a node with the name "r2"/);
    expect((await joinCluster(right, joinToken)).json.error).toBe("");
  });

  test("for one network does not let in a node of another, until it is made for that too [G45]", async () => {
    await using node = await createNode("r3");
    await isRefused(
      node,
      await named("r3", { cidrs: ["10.9.0.0/24"] }),
      /cannot be used from 127\.0\.0\.1, only from 10\.9/,
    );
    expect((await joinCluster(node, await named("r3", { cidrs: ["10.9.0.0/24", "127.0.0.0/8"] }))).json.error).toBe("");
  });

  test("for two nodes lets in two of three that come at once, and the third with the next token [G45]", async () => {
    const joinToken = await token(founder, { ...worker, uses: 2 });
    await using stack = new AsyncDisposableStack();
    const nodes = await Promise.all(["u1", "u2", "u3"].map(async (name) => stack.use(await createNode(name))));
    const answers = await Promise.all(nodes.map((node) => joinCluster(node, joinToken)));
    const refused = answers.flatMap(({ json }, index) =>
      json.error === "" ? [] : [{ node: nodes[index], error: json.error }],
    );
    expect(refused).toHaveLength(1);
    expect(refused[0]?.error).toMatch(/another node is joining with this token|the token is used up/);
    const left = refused[0]?.node;
    if (left === undefined) throw new Error("nobody was refused");
    expect((await joinCluster(left, await token(founder, worker))).json.error).toBe("");
  });

  test("that was revoked lets nobody in [G44]", async () => {
    await using node = await createNode("v1");
    const joinToken = await named("v1");
    await revoke("v1");
    await isRefused(node, joinToken, /the token was revoked/);
  });

  test("that is revoked during a join ends it: nothing is left, and the name is free [G44]", async () => {
    await using node = await createNode("v2");
    const joinToken = await named("v2");
    const point = "3-before-run";
    await writeFile(join(node.faults, `hold-${point}`), "");
    const running = joinCluster(node, joinToken);
    await vi.waitFor(() => access(join(node.faults, `held-${point}`)), { timeout: 20_000 });
    await revoke("v2");
    await rm(join(node.faults, `hold-${point}`));
    const { status, json } = await running;
    expect([status, json.error]).toEqual([
      500,
      expect.stringMatching(/what was held for it is not any more|was revoked/),
    ]);
    expect(await node.leftovers()).toEqual([]);
    await vi.waitFor(async () => expect(await membersOf(founder)).not.toHaveProperty("v2"), { timeout: 20_000 });
    expect((await joinCluster(node, await named("v2"))).json.error).toBe("");
  });

  test("is not spent by joins that fail, however often [A1] [A8]", async () => {
    await using node = await createNode("f1");
    const joinToken = await named("f1");
    const fail = join(node.faults, "fail-5-before-run");
    await writeFile(fail, "");
    for (let attempt = 0; attempt < 3; attempt += 1) await isRefused(node, joinToken, /fault injected/);
    await rm(fail);
    expect(await listed("f1")).toMatchObject({ state: "valid", used: 0, joining: 0 });
    expect((await joinCluster(node, joinToken)).json.error).toBe("");
  });

  test("works at the same moment in which it was made [A3]", async () => {
    await using node = await createNode("m1");
    const answers = await joinCluster(node, await named("m1"));
    expect(answers.json.error).toBe("");
  });

  test("whose addresses are dead but one, or the node's own, leads into the cluster [A4] [A5]", async () => {
    await using node = await createNode("d1");
    const ticket = decodeJoinToken(await named("d1"));
    const swallow = ["192.0.2.1:6400", "192.0.2.2:6400", "192.0.2.3:6400"];
    const addresses = [`127.0.0.1:${await freePort()}`, node.address, ...swallow, ...ticket.addresses];
    const began = performance.now();
    expect((await joinCluster(node, encodeJoinToken({ ...ticket, addresses }))).json.error).toBe("");
    // Side by side: nobody waits for addresses that swallow everything, for five seconds each.
    expect(performance.now() - began).toBeLessThan(swallow.length * 5_000);
  });

  test("that names only the node itself is refused with what to do [A5]", async () => {
    await using node = await createNode("d2");
    const ticket = decodeJoinToken(await named("d2"));
    const own = encodeJoinToken({ ...ticket, addresses: [node.address] });
    await isRefused(
      node,
      own,
      /the only control plane that the token names is this node itself.*Run 'k8s join-cluster' on/s,
    );
  });
});

describe("what was heard on the way", () => {
  test("is worth nothing to another node, before and after the join [G43]", async () => {
    await using node = await createNode("e1");
    await using thief = await createNode("e2");
    const joinToken = await token(founder, worker);
    const point = "2-before-run";
    await writeFile(join(node.faults, `hold-${point}`), "");
    const running = joinCluster(node, joinToken);
    await vi.waitFor(() => access(join(node.faults, `held-${point}`)), { timeout: 20_000 });
    await isRefused(thief, joinToken, /another node is joining with this token/);
    await rm(join(node.faults, `hold-${point}`));
    expect((await running).json.error).toBe("");
    await isRefused(thief, joinToken, /the token is used up/);
  });
});

// Last: the addresses of all nodes here are one source.
test("who presents wrong secrets is slowed down, and a good token is good again after the wait", async () => {
  await using node = await createNode("g1");
  const joinToken = await named("g1");
  const ticket = decodeJoinToken(joinToken);
  const wrong = () => encodeJoinToken({ ...ticket, secret: `worker::${"0".repeat(40)}` });
  const answers: string[] = [];
  for (let attempt = 0; attempt < 12; attempt += 1) answers.push((await joinCluster(node, wrong())).json.error ?? "");
  expect(answers[0]).toContain("invalid token");
  expect(answers.at(-1)).toMatch(/too many invalid tokens from 127\.0\.0\.1\. Try again in \d+ s/);
  await expect
    .poll(async () => (await joinCluster(node, joinToken)).json.error, { timeout: 30_000, interval: 1_000 })
    .toBe("");
}, 60_000);
