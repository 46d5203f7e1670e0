import { expect, test } from "vitest";
import { createOwnRecord } from "../../../src/reconcile/own-record.ts";
import { createTestCluster, signal } from "../cluster/support.ts";

test("a record that was made without a peer id gets it, and one that is right is not written", async () => {
  await using cluster = await createTestCluster();
  const { datastore, ledger } = cluster.controlPlane();
  const versions = async () => ({ k8sd: "2", kubernetes: "3" });
  const own = createOwnRecord("founder", { datastore: async () => datastore, versions, meshPeer: "peer" });
  await own.reconcile(signal());
  const completed = await ledger.member("founder", signal());
  expect(completed).toMatchObject({ meshPeer: "peer", versions: { k8sd: "2", kubernetes: "3" }, state: "active" });
  await own.reconcile(signal());
  expect((await ledger.member("founder", signal()))?.revision).toBe(completed?.revision);
});
