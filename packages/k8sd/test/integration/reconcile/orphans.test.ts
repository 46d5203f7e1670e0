import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { BootstrapInput } from "../../../src/cluster/bootstrap/plan.ts";
import { emptyClusterConfig } from "../../../src/cluster/config/types.ts";
import { createLedger, type Ledger } from "../../../src/cluster/ledger.ts";
import { createOrphans, type Orphans } from "../../../src/cluster/orphans/orphans.ts";
import { pkiFiles } from "../../../src/components/certificates.ts";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import type { Datastore } from "../../../src/datastore/datastore.ts";
import { createPaths } from "../../../src/host/paths.ts";
import { createKubeClient } from "../../../src/kube/kube-client.ts";
import type { Node } from "../../../src/kube/resources.ts";
import { type Audit, createAudit } from "../../../src/node-db/audit.ts";
import { openNodeDb } from "../../../src/node-db/node-db.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";
import { signal } from "../cluster/support.ts";
import { createTestCluster, etcdProgram, type TestCluster } from "../datastore/etcd-members-cluster.ts";
import { startApiServer, type TestApiServer } from "../kube/api-server.ts";

let cleanup: AsyncDisposableStack;
let etcd: TestCluster;
let api: TestApiServer;
let input: BootstrapInput;
let datastore: Datastore;
let ledger: Ledger;
let now: number;

/** The node's etcd is the first of the test's members; the others are known by their names. */
beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "k8sd-orphans-"));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  etcd = cleanup.use(await createTestCluster());
  api = cleanup.use(await startApiServer());
  now = 0;
  const paths = createPaths({ root: folder, snap: join(folder, "snap"), snapCommon: join(folder, "common") });
  const files = { [pkiFiles(paths).etcdCa.crt]: etcd.tls.ca, [paths.datastoreClientCert]: etcd.tls.cert };
  for (const [path, content] of Object.entries({ ...files, [paths.datastoreClientKey]: etcd.tls.key })) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content ?? "");
  }
  const { clientUrl, peerUrl } = await etcd.member("n1");
  await vi.waitFor(() => etcd.members.list({ ...etcd.call({ timeoutMs: 2_000 }), settled: true }), { timeout: 20_000 });
  const initialCluster = { state: "new", peers: {} } as const;
  const ports = { clientPort: Number(new URL(clientUrl).port), peerPort: Number(new URL(peerUrl).port) };
  const founder = aBootstrapInput({ kubernetes: true });
  input = {
    ...founder,
    view: { ...founder.view, paths, datastore: { engine: "etcd", endpoints: [clientUrl], ...ports, initialCluster } },
  };
  datastore = cleanup.use(createEtcdClient({ endpoints: [clientUrl], tls: etcd.tls }));
  ledger = createLedger(datastore);
  const member = { id: input.nodeId, name: "n1", role: "control-plane" } as const;
  await ledger.found(
    {
      cluster: { id: "cluster", epoch: 1, createdAt: 0 },
      member: { ...member, addresses: ["127.0.0.1"], k8sdAddress: "127.0.0.1:6400" },
      config: emptyClusterConfig(),
    },
    signal(),
  );
});
afterEach(() => cleanup.disposeAsync());

function controlPlane(over: Partial<BootstrapInput> = {}): { orphans: Orphans; audit: Audit } {
  const db = openNodeDb(":memory:");
  cleanup.defer(() => void db.close());
  const audit = createAudit(db, () => now);
  const connections = {
    datastore: async () => datastore,
    kube: async () => cleanup.use(createKubeClient(api.kubeconfig)),
    [Symbol.asyncDispose]: async () => {},
  };
  const deps = { self: () => ({ ...input, ...over }), connections: () => connections, now: () => now };
  return { orphans: createOrphans({ ...deps, audit, log: pino({ level: "silent" }) }), audit };
}

async function rounds(count: number, ...all: readonly Orphans[]): Promise<void> {
  for (let round = 0; round < count; round += 1) {
    await Promise.all(all.map((orphans) => orphans.round(signal())));
    now += 20_000;
  }
}

const inEtcd = async () => (await etcd.members.list(etcd.call())).members.map(({ name }) => name).toSorted();
const node = (name: string, uid: string, role?: string): Node => ({
  metadata: { name, uid, ...(role === undefined ? {} : { labels: { "k8sd.io/role": role } }) },
});
const nodesNow = async () => {
  using client = createKubeClient(api.kubeconfig);
  const { items } = await client.list<Node>(
    { api: "/api/v1", plural: "nodes", namespaced: false },
    { signal: signal() },
  );
  return items.map(({ metadata }) => metadata?.name).toSorted();
};

describe.skipIf(etcdProgram === undefined)("what no member owns", () => {
  test("goes after its time, once, by one of several control planes, and is audited; what others made stays", async () => {
    await etcd.join("n2");
    api.put("/api/v1/nodes/n1", node("n1", "u1", "control-plane"));
    api.put("/api/v1/nodes/n2", node("n2", "u2", "control-plane"));
    api.put("/api/v1/nodes/virtual", node("virtual", "u3"));
    const [one, two] = [controlPlane(), controlPlane()];
    await rounds(2, one.orphans, two.orphans);
    expect(await inEtcd()).toEqual(["n1", "n2"]);
    await rounds(2, one.orphans, two.orphans);
    expect(await inEtcd()).toEqual(["n1"]);
    expect(await nodesNow()).toEqual(["n1", "virtual"]);
    const audited = [...one.audit.latest(10), ...two.audit.latest(10)];
    expect(audited.map(({ action, outcome, details }) => [action, outcome, details.name]).toSorted()).toEqual([
      ["orphan.remove-etcd-member", "ok", "n2"],
      ["orphan.remove-node", "ok", "n2"],
    ]);
  });

  test("stays when it would take the majority, with the reason", async () => {
    await etcd.join("n2");
    await etcd.join("n3");
    const { orphans, audit } = controlPlane();
    // n3 is in, dead, and n2 the only other one that works.
    const n3 = { id: "id-3", name: "n3", role: "control-plane", state: "active", addresses: ["10.0.0.3"] } as const;
    const stored = { ...n3, k8sdAddress: "10.0.0.3:6400", publicKeyFingerprint: "", incarnation: 1, versions: {} };
    const put = { op: "put", key: "k8sd/members/id-3", value: JSON.stringify({ ...stored, changedAt: 0 }) } as const;
    await datastore.txn({ success: [put] });
    await (await etcd.member("n3")).kill();
    await rounds(2, orphans);
    await expect(rounds(1, orphans)).rejects.toThrow(/then 1 of 2 voting members are healthy/);
    expect(await inEtcd()).toEqual(["n1", "n2", "n3"]);
    expect(audit.latest(1)).toMatchObject([
      { action: "orphan.remove-etcd-member", outcome: expect.stringMatching(/1 of 2/) },
    ]);
  });

  test("is not judged by a node that is no active member itself", async () => {
    await etcd.join("n2");
    const { orphans } = controlPlane({ nodeId: "00000000-0000-8000-8000-000000000000" });
    await rounds(4, orphans);
    expect(await inEtcd()).toEqual(["n1", "n2"]);
  });

  test("and was made anew under the same name has its own time", async () => {
    api.put("/api/v1/nodes/w1", node("w1", "first", "worker"));
    const { orphans } = controlPlane();
    await rounds(2, orphans);
    api.remove("/api/v1/nodes/w1");
    api.put("/api/v1/nodes/w1", node("w1", "second", "worker"));
    await rounds(2, orphans);
    expect(await nodesNow()).toEqual(["w1"]);
    await rounds(1, orphans);
    expect(await nodesNow()).toEqual([]);
  });
});
