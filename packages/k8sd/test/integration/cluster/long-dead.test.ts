import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ClusterLink } from "../../../src/cluster/join/link.ts";
import type { StoredMember } from "../../../src/cluster/ledger-records.ts";
import { createRemoveLongDead } from "../../../src/cluster/long-dead/remove-long-dead.ts";
import { AppError } from "../../../src/lib/app-error.ts";
import { type ControlPlane, createTestCluster, signal, type TestCluster } from "./support.ts";

const hour = 3_600_000;
const key = "k8sd/v1alpha/lifecycle/remove-dead-nodes-after";

let cluster: TestCluster;
let one: ControlPlane;
beforeEach(async () => {
  cluster = await createTestCluster();
  one = cluster.controlPlane();
  for (const name of ["n2", "n3"]) await member(name, "control-plane");
  await member("w1", "worker");
});
afterEach(() => cluster[Symbol.asyncDispose]());

async function member(name: string, role: StoredMember["role"]): Promise<void> {
  const record = { id: name, name, role, state: "active", addresses: [], k8sdAddress: `${name}:6400` };
  const stored = { ...record, publicKeyFingerprint: "", incarnation: 1, versions: {}, changedAt: 0 };
  await one.datastore.txn({ success: [{ op: "put", key: `k8sd/members/${name}`, value: JSON.stringify(stored) }] });
}

async function annotate(text: string | undefined): Promise<void> {
  const config = { ...(await one.ledger.config(signal())), annotations: text === undefined ? {} : { [key]: text } };
  await one.datastore.txn({ success: [{ op: "put", key: "k8sd/config", value: JSON.stringify(config) }] });
}

/** What a control plane does that has seen w1 dead for 30 hours, as n2 has for the time that is given; n3 does not answer. */
function watching(options: { readonly theirHours: number; readonly ready?: boolean; readonly refuses?: boolean }) {
  const removed: string[] = [];
  const asked: string[] = [];
  const { datastore, audit } = cluster.controlPlane();
  const connections = {
    datastore: async () => datastore,
    kube: () => Promise.reject(new Error("there is no Kubernetes here")),
    [Symbol.asyncDispose]: async () => {},
  };
  const longDead = createRemoveLongDead({
    watch: { look: () => new Map([["w1", 30 * hour]]) },
    link: async (address) => {
      asked.push(address);
      const ask = async () => {
        if (address.startsWith("n3")) throw new AppError("unavailable", "no answer");
        return { members: [{ id: "w1", "dead-ms": options.theirHours * hour }] };
      };
      return { ask } as unknown as Pick<ClusterLink, "ask">;
    },
    isReady: async () => options.ready ?? false,
    connections: () => connections,
    remove: ({ name, force }) => {
      removed.push(`${name}${force ? " by force" : ""}`);
      return {
        result: options.refuses ? Promise.reject(new AppError("conflict", "etcd needs it")) : Promise.resolve(),
      };
    },
    audit,
    log: pino({ level: "silent" }),
  });
  return { longDead, removed, asked, audit };
}

test("one that a majority has seen dead for long enough is removed, not by force, and audited", async () => {
  await annotate("24h");
  const { longDead, removed, asked, audit } = watching({ theirHours: 25 });
  await longDead.round("founder", signal());
  expect(removed).toEqual(["w1"]);
  expect(new Set(asked)).toEqual(new Set(["n2:6400", "n3:6400"]));
  expect(audit.latest(10).map(({ action, outcome }) => [action, outcome])).toEqual([
    ["member.remove-dead", "ok"],
    ["member.remove-dead", "begun"],
  ]);
});

test("nobody is, and nobody asked, where the configuration says nothing or a longer time", async () => {
  for (const text of [undefined, "false", "48h"]) {
    await annotate(text);
    const { longDead, removed, asked } = watching({ theirHours: 99 });
    await longDead.round("founder", signal());
    expect([removed, asked]).toEqual([[], []]);
  }
});

test("nobody is while the others have not seen it for that long, or Kubernetes still hears of it", async () => {
  await annotate("24h");
  for (const options of [{ theirHours: 23 }, { theirHours: 99, ready: true }]) {
    const { longDead, removed } = watching(options);
    await longDead.round("founder", signal());
    expect(removed).toEqual([]);
  }
});

test("what etcd cannot do without stays, with the reason in the audit", async () => {
  await annotate("24h");
  const { longDead, audit } = watching({ theirHours: 25, refuses: true });
  await expect(longDead.round("founder", signal())).rejects.toThrow("etcd needs it");
  expect(audit.latest(1)).toMatchObject([{ action: "member.remove-dead", outcome: "etcd needs it" }]);
});
