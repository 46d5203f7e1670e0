import { afterAll, beforeAll, expect, test } from "vitest";
import { createMembers, type MembersDeps } from "../../../src/cluster/join/members.ts";
import { nodeIdOf } from "../../../src/cluster/node-key.ts";
import { aClaim, anOrder, type ControlPlane, createTestCluster, root, signal, type TestCluster } from "./support.ts";

let cluster: TestCluster;
let one: ControlPlane;
beforeAll(async () => {
  cluster = await createTestCluster();
  one = cluster.controlPlane();
});
afterAll(() => cluster[Symbol.asyncDispose]());

test.each([
  ["worker", true, true],
  ["worker", false, false],
  ["control-plane", true, false],
] as const)(
  "a %s that leaves (by force: %s) says how: the others wait for nothing of it: %s",
  async (role, force, expected) => {
    const name = `${role}-${force}`;
    const key = Buffer.from(name.padEnd(32, ".")).toString("hex").slice(0, 64);
    const { secret } = await one.tokens.create(anOrder({ role, name }), root, signal());
    const claim = aClaim(secret, name, { role, nodeId: nodeIdOf(key), publicKeyFingerprint: key });
    const { member } = await one.admission.reserve(claim, signal());
    await one.admission.begin(member.id, signal());
    await one.admission.commit(member.id, signal());
    const connections = () => ({ datastore: async () => one.datastore });
    const members = createMembers({ connections, now: cluster.now } as unknown as MembersDeps);
    await members.advance({ action: "leave", ...(force ? { force } : {}) }, { key, source: "10.0.0.9" }, signal());
    const { state, removal } = (await one.ledger.member(member.id, signal())) ?? {};
    expect([state, removal?.force]).toEqual(["leaving", expected]);
  },
);
