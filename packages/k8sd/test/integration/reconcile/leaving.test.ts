import { expect, test } from "vitest";
import type { TakeAway } from "../../../src/cluster/remove/take-away.ts";
import type { KnownMember } from "../../../src/cluster/roster.ts";
import { AppError } from "../../../src/lib/app-error.ts";
import { createLeaving } from "../../../src/reconcile/leaving.ts";
import { createTestCluster, signal } from "../cluster/support.ts";

const leaving = (name: string, until = 0): KnownMember => ({
  id: `id-of-${name}`,
  name,
  role: "worker",
  state: "leaving",
  addresses: [],
  k8sdAddress: "",
  publicKeyFingerprint: "",
  podCidrs: [],
  changedAt: 0,
  removal: { force: false, until },
});

/** Records who goes; nothing is really taken away. */
function recording(stuck: string) {
  const gone: string[] = [];
  const takeAway: TakeAway = {
    drain: async () => {},
    leaveDatastore: async ({ name }) => {
      if (name === stuck) throw new AppError("conflict", `cannot take out ${name}`);
    },
    deleteNode: async () => {},
    forget: async ({ name }) => void gone.push(name),
  };
  return { gone, takeAway };
}

test("one that cannot go keeps no other one in, and its reason is told", async () => {
  await using cluster = await createTestCluster();
  const { datastore } = cluster.controlPlane();
  const { gone, takeAway } = recording("a");
  const members = () => [leaving("a"), leaving("b"), leaving("c"), leaving("self")];
  const connections = { datastore: async () => datastore };
  const reconciler = createLeaving("id-of-self", { connections, members, takeAway, now: () => 1 });
  await expect(reconciler.reconcile(signal())).rejects.toThrow("cannot take out a");
  expect(gone.toSorted()).toEqual(["b", "c"]);
});

test("whoever ordered it has the time that it asked for, and of several control planes one does it", async () => {
  await using cluster = await createTestCluster();
  const { gone, takeAway } = recording("");
  let now = 10;
  const reconcilers = ["x", "y"].map((self) => {
    const { datastore } = cluster.controlPlane();
    const connections = { datastore: async () => datastore };
    return createLeaving(self, { connections, members: () => [leaving("b", 20)], takeAway, now: () => now });
  });
  const round = () => Promise.all(reconcilers.map((reconciler) => reconciler.reconcile(signal())));
  await round();
  expect(gone).toEqual([]);
  now = 20;
  await round();
  expect(new Set(gone)).toEqual(new Set(["b"]));
});
