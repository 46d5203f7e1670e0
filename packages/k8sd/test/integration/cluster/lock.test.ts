import { expect, test } from "vitest";
import { withClusterLock } from "../../../src/cluster/lock.ts";
import { createTestCluster, signal } from "./support.ts";

test("of several nodes one at a time does what the lock guards, and who does not wait is told", async () => {
  await using cluster = await createTestCluster();
  const nodes = [cluster.controlPlane(), cluster.controlPlane(), cluster.controlPlane()];
  let inside = 0;
  const most: number[] = [];
  await Promise.all(
    nodes.map(({ datastore }) =>
      withClusterLock(datastore, { name: "etcd-members", signal: signal(), waitMs: 15_000 }, async () => {
        most.push(++inside);
        const other = withClusterLock(datastore, { name: "etcd-members", signal: signal(), waitMs: 0 }, async () => {});
        await expect(other).rejects.toMatchObject({ kind: "conflict", retryable: true });
        inside -= 1;
      }),
    ),
  );
  expect(most).toEqual([1, 1, 1]);
});

test("another name is another lock, and one whose work failed is free", async () => {
  await using cluster = await createTestCluster();
  const { datastore } = cluster.controlPlane();
  const lock = (name: string, work: () => Promise<string>) =>
    withClusterLock(datastore, { name, signal: signal(), waitMs: 0 }, work);
  await expect(lock("a", () => lock("b", async () => "both"))).resolves.toBe("both");
  await expect(lock("a", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  await expect(lock("a", async () => "free")).resolves.toBe("free");
});
