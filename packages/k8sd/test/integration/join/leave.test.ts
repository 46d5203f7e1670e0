import { access, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { bootstrap, createNode, joinCluster, token } from "./nodes.ts";

test("[B19] a node that waits for the consent of a cluster that is gone by then goes by force", async () => {
  await using founder = await createNode("l1");
  await bootstrap(founder);
  await using node = await createNode("l2");
  expect((await joinCluster(node, await token(founder, { name: "", worker: true, ttl: 0 }))).json.error).toBe("");
  const point = "1-before-run";
  await writeFile(join(node.faults, `hold-${point}`), "");
  const leaving = node.call("POST", "/1.0/k8sd/cluster/leave", { timeout: 5_000_000_000 });
  await vi.waitFor(() => access(join(node.faults, `held-${point}`)), { timeout: 20_000 });
  await founder.stop();
  await rm(join(node.faults, `hold-${point}`));
  const waited = await leaving;
  expect([waited.status, waited.json.error]).toEqual([
    500,
    expect.stringContaining("'k8s leave --force' goes on without"),
  ]);
  const forced = await node.call("POST", "/1.0/k8sd/cluster/leave", { force: true });
  expect([forced.status, forced.json.error]).toEqual([200, ""]);
  expect((await node.call("GET", "/1.0/k8sd/node")).status).toBe(503);
  expect(await node.leftovers()).toEqual([]);
});
