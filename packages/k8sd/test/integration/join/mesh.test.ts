import type { ClusterStatus, MeshStatus } from "@k8sd/api-types";
import { expect, test, vi } from "vitest";
import { bootstrap, createNode, joinCluster, type TestNode, token } from "./nodes.ts";

const within = { timeout: 30_000, interval: 100 };

async function meshOf(node: TestNode): Promise<MeshStatus> {
  return (await node.call("GET", "/1.0/k8sd/mesh")).json.metadata as MeshStatus;
}

async function nodesOf(node: TestNode) {
  const { status } = (await node.call("GET", "/1.0/k8sd/cluster")).json.metadata as { status: ClusterStatus };
  return Object.fromEntries((status.nodes ?? []).map((each) => [each.name, each]));
}

test("daemons of one cluster are each other's peers from the second on, until one is removed", async () => {
  await using founder = await createNode("n1");
  await bootstrap(founder);
  const alone = { running: false, reason: "this node is the only member", peers: [] };
  await vi.waitFor(async () => expect(await meshOf(founder)).toMatchObject(alone), within);

  await using worker = await createNode("w1");
  expect((await joinCluster(worker, await token(founder, { worker: true }))).json.error).toBe("");
  for (const [node, other, role] of [
    [founder, "w1", "worker"],
    [worker, "n1", "control-plane"],
  ] as const) {
    const peers = [{ name: other, role, state: "alive" }];
    await vi.waitFor(async () => expect(await meshOf(node)).toMatchObject({ running: true, peers }), within);
    const lively = { liveness: "alive", "last-contact": expect.any(String) };
    expect(await nodesOf(node)).toMatchObject({ [other]: lively });
  }
  const revision = async (node: TestNode) => (await meshOf(node)).replica.revision;
  await vi.waitFor(async () => expect(await revision(worker)).toBe(await revision(founder)), within);

  // A daemon that is stopped says good-bye.
  await worker.stop();
  await vi.waitFor(async () => expect(await nodesOf(founder)).toMatchObject({ w1: { liveness: "left" } }), within);
  await worker.start();
  await vi.waitFor(async () => expect(await nodesOf(founder)).toMatchObject({ w1: { liveness: "alive" } }), within);

  const removed = await founder.call("POST", "/1.0/k8sd/cluster/remove", { name: "w1", force: true, timeout: 60e9 });
  expect(removed.json.error).toBe("");
  await vi.waitFor(async () => expect(await meshOf(founder)).toMatchObject(alone), within);
  await vi.waitFor(async () => expect((await worker.call("GET", "/1.0/k8sd/mesh")).status).toBe(503), within);
}, 120_000);
