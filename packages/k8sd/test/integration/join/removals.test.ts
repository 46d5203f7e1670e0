import { access, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { bootstrap, createNode, joinCluster, membersOf, type TestNode, token } from "./nodes.ts";

let founder: TestNode;
const workers: TestNode[] = [];
beforeAll(async () => {
  founder = await createNode("r0");
  await bootstrap(founder);
  const joinToken = await token(founder, { name: "", worker: true, ttl: 0, uses: 3 });
  for (const name of ["r1", "r2", "r3"]) {
    const node = await createNode(name);
    workers.push(node);
    expect((await joinCluster(node, joinToken)).json.error).toBe("");
  }
}, 60_000);
afterAll(() => Promise.all([founder, ...workers].map((node) => node[Symbol.asyncDispose]())));

const remove = (name: string, timeoutMs = 0) =>
  founder.call("POST", "/1.0/k8sd/cluster/remove", { name, timeout: timeoutMs * 1e6 });

test("removals that are ordered at once from one control plane wait for each other", async () => {
  const point = "1-before-run";
  await writeFile(join(founder.faults, `hold-${point}`), "");
  const first = remove("r1");
  await vi.waitFor(() => access(join(founder.faults, `held-${point}`)), { timeout: 20_000 });
  const streamed = founder.call("POST", "/1.0/k8sd/cluster/remove", { name: "r3" }, { accept: "text/event-stream" });
  const others = [remove("r2"), remove("r1")];
  const late = await remove("r2", 1_000);
  expect([late.status, late.json.error]).toEqual([500, expect.stringContaining("a remove is under way")]);
  await rm(join(founder.faults, `hold-${point}`));
  for (const { status, json } of await Promise.all([first, ...others])) expect([status, json.error]).toEqual([200, ""]);
  const steps = [...(await streamed).text.matchAll(/"title":"([^"]*)","state":"done"/g)].map(([, title]) => title);
  expect(steps).toEqual([
    "Wait until this node has ended something else",
    "Record that r3 leaves",
    "End its membership",
  ]);
  expect(Object.keys(await membersOf(founder))).toEqual(["r0"]);
});
