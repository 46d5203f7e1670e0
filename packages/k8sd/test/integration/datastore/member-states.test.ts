import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { readDefragmented } from "../../../src/cluster/defragmented.ts";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import { createMemberCalls } from "../../../src/datastore/etcd-members-calls.ts";
import { memberStates } from "../../../src/datastore/member-states.ts";
import { createDatastoreUpkeep } from "../../../src/reconcile/datastore-upkeep.ts";
import { createTestCluster, etcdProgram } from "./etcd-members-cluster.ts";
import { startEngine, temporaryFolder } from "./support/engine-process.ts";
import { always } from "./support/writes.ts";

const signal = () => AbortSignal.timeout(60_000);
const answerMs = 5_000;

describe.skipIf(etcdProgram === undefined)("the members of etcd", { timeout: 120_000 }, () => {
  test("say how they are, and one that is away is named with the reason", async () => {
    await using cluster = await createTestCluster();
    await cluster.join("n2");
    const [n1, n2] = await Promise.all([cluster.member("n1"), cluster.member("n2")]);
    const calls = createMemberCalls({ endpoints: [n1.clientUrl], tls: cluster.tls });
    onTestFinished(() => calls.close());
    const states = await memberStates(calls, answerMs, signal());
    expect(states.map(({ member }) => member.name).sort()).toEqual(["n1", "n2"]);
    expect(states.filter(({ leads }) => leads)).toHaveLength(1);
    for (const state of states) {
      expect(state).toMatchObject({ version: expect.stringMatching(/^3\./), alarms: [], size: expect.any(Number) });
      expect(state.inUse).toBeLessThanOrEqual(state.size ?? 0);
      expect(state.behind).toBeGreaterThanOrEqual(0);
    }
    await n2.kill();
    const after = await memberStates(calls, answerMs, signal());
    const [lost] = after.filter(({ member }) => member.name === "n2");
    expect(lost).toMatchObject({ problem: expect.any(String) });
    expect(lost?.version).toBeUndefined();
    expect(after.find(({ member }) => member.name === "n1")).toMatchObject({ version: expect.any(String) });
  });
});

describe("the embedded engine", { timeout: 120_000 }, () => {
  test("tells its quota and alarm, and when its file was written anew", async () => {
    await using folder = await temporaryFolder();
    const quota = 16 * 1024 * 1024;
    await using engine = await startEngine([
      ...["--data-dir", join(folder.path, "data"), "--listen-client-urls", "http://127.0.0.1:0"],
      ...["--quota-backend-bytes", String(quota)],
    ]);
    const endpoints = [engine.endpoint];
    await using store = createEtcdClient({ endpoints });
    const calls = createMemberCalls({ endpoints });
    onTestFinished(() => calls.close());
    const only = async () => (await memberStates(calls, answerMs, signal()))[0];
    expect(await only()).toMatchObject({ leads: true, behind: 0, quota, alarms: [] });
    const put = () => store.txn(always({ op: "put", key: "same", value: Buffer.alloc(64_000, 1) }));
    await expect(
      (async () => {
        for (let round = 0; round < 4_000; round += 1) await put();
      })(),
    ).rejects.toThrow("database space exceeded");
    expect(await only()).toMatchObject({ alarms: ["NOSPACE"] });
    const log = { info: () => {}, warn: () => {} };
    const upkeep = createDatastoreUpkeep({
      connect: async () => ({ endpoints }),
      datastore: async () => store,
      log: log as never,
      now: () => 1_000,
    });
    await upkeep.reconcile(signal());
    expect(await only()).toMatchObject({ alarms: [] });
    const { member } = (await only()) ?? {};
    expect(await readDefragmented(store, signal())).toEqual({ [member?.name ?? ""]: 1_000 });
  });
});
