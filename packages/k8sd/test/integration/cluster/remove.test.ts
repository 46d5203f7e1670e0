import pino from "pino";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { Connections } from "../../../src/cluster/connections.ts";
import { createRemoveExecutors } from "../../../src/cluster/remove/executors.ts";
import { createRemove } from "../../../src/cluster/remove/remove.ts";
import { createTakeAway } from "../../../src/cluster/remove/take-away.ts";
import { AppError } from "../../../src/lib/app-error.ts";
import { createJournal } from "../../../src/node-db/journal.ts";
import { openNodeDb } from "../../../src/node-db/node-db.ts";
import { createRunner } from "../../../src/operations/runner.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";
import { aClaim, anOrder, type ControlPlane, createTestCluster, root, signal, type TestCluster } from "./support.ts";

let cluster: TestCluster;
let one: ControlPlane;
beforeAll(async () => {
  cluster = await createTestCluster();
  one = cluster.controlPlane();
});
afterAll(() => cluster[Symbol.asyncDispose]());

async function aWorker(name: string): Promise<string> {
  const { secret } = await one.tokens.create(anOrder(), root, signal());
  const { member } = await one.admission.reserve(aClaim(secret, name), signal());
  await one.admission.begin(member.id, signal());
  return (await one.admission.commit(member.id, signal())).id;
}

/** Removes from a control plane whose API server is away. */
function aControlPlane() {
  const down = () => Promise.reject(new AppError("unavailable", "cannot reach the Kubernetes API"));
  const kube = { get: vi.fn(down), patch: down, list: down, delete: vi.fn(down) };
  const connections = () =>
    ({ datastore: async () => one.datastore, kube: async () => kube }) as unknown as Connections;
  const self = () => ({ ...aBootstrapInput({ kubernetes: true }), nodeId: "founder" });
  const db = openNodeDb(":memory:");
  const runner = createRunner({ journal: createJournal(db, Date.now), log: pino({ level: "silent" }), now: Date.now });
  const takeAway = createTakeAway({ self, connections, members: () => [], now: Date.now });
  runner.register("remove", createRemoveExecutors({ connections, takeAway, now: Date.now }));
  const leave = () => Promise.reject(new Error("it is not this node"));
  const remove = createRemove({ runner, connections, self, leave, release: leave, now: Date.now });
  return { kube, remove, runner, [Symbol.asyncDispose]: () => runner.stop().then(() => void db.close()) };
}

test("a removal that waits for an API server that is away gives way to one by force, which ends the trust without it", async () => {
  const id = await aWorker("w1");
  await using at = aControlPlane();
  const gentle = at.remove({ name: "w1", force: false, timeoutMs: 60_000 }, { requestId: "gentle" });
  await vi.waitFor(() => expect(at.kube.get).toHaveBeenCalled(), { timeout: 20_000 });
  expect(await one.ledger.member(id, signal())).toMatchObject({ state: "leaving" });
  const forced = at.remove({ name: "W1", force: true, timeoutMs: 60_000 }, { requestId: "forced" });
  await forced.result;
  await expect(gentle.result).rejects.toThrow("it is removed by force now");
  expect(at.kube.delete).toHaveBeenCalled();
  expect(await one.ledger.member(id, signal())).toMatchObject({ state: "removed" });
});
