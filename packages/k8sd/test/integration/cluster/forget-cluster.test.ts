import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { forgetCluster } from "../../../src/cluster/bootstrap/external.ts";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import type { Datastore } from "../../../src/datastore/datastore.ts";
import { startEngine, temporaryFolder } from "../datastore/support/engine-process.ts";
import { always } from "../datastore/support/writes.ts";

const cleanup = new AsyncDisposableStack();
let store: Datastore;
beforeAll(async () => {
  const folder = cleanup.use(await temporaryFolder());
  const engine = cleanup.use(
    await startEngine(["--data-dir", join(folder.path, "data"), "--listen-client-urls", "http://127.0.0.1:0"]),
  );
  store = cleanup.use(createEtcdClient({ endpoints: [engine.endpoint] }));
});
afterAll(() => cleanup.disposeAsync());

const signal = AbortSignal.timeout(30_000);
const ours = { clusterId: "c1", nodeId: "n1" };

async function hold(clusterId: string, members: Readonly<Record<string, string>>): Promise<void> {
  await store.txn(always({ op: "delete", range: { prefix: "" } }));
  await store.txn(always({ op: "put", key: "k8sd/cluster", value: JSON.stringify({ id: clusterId }) }));
  for (const [id, state] of Object.entries(members)) {
    await store.txn(always({ op: "put", key: `k8sd/members/${id}`, value: JSON.stringify({ id, state }) }));
  }
  await store.txn(always({ op: "put", key: "/registry/pods/default/a", value: "v" }));
  await store.txn(always({ op: "put", key: "theirs", value: "v" }));
}

const left = async () =>
  (await store.range({ prefix: "" }, { keysOnly: true })).kvs.map(({ key }) => Buffer.from(key).toString());

test("a cluster that was begun and taken back leaves what was there before", async () => {
  await hold("c1", { n1: "active" });
  await forgetCluster(store, ours, signal);
  expect(await left()).toEqual(["theirs"]);
});

test.each([
  ["another cluster", "c2", { n1: "active" }],
  ["a cluster that this node leaves", "c1", { n1: "leaving", n2: "active" }],
  ["a cluster that this node has left", "c1", { n1: "removed", n2: "active" }],
])("%s stays whole", async (_what, clusterId, members) => {
  await hold(clusterId, members);
  const before = await left();
  await forgetCluster(store, ours, signal);
  expect(await left()).toEqual(before);
});
