import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { BootstrapInput } from "../../../src/cluster/bootstrap/plan.ts";
import type { MemberRecord } from "../../../src/cluster/ledger-records.ts";
import { createNodeKey, type NodeKey } from "../../../src/cluster/node-key.ts";
import { createRoster, type KnownMember, type Roster } from "../../../src/cluster/roster.ts";
import { apiserverProxyEndpoints } from "../../../src/components/k8s-apiserver-proxy.ts";
import { createPaths } from "../../../src/host/paths.ts";
import { createPeerCache, createReplicaStore, forgetMesh } from "../../../src/mesh/node-db-stores.ts";
import { type NodeDb, openNodeDb } from "../../../src/node-db/node-db.ts";
import { createRosterStore } from "../../../src/node-db/roster-store.ts";
import { createApiServers } from "../../../src/reconcile/api-servers.ts";
import { createMemberMesh, type MemberMesh } from "../../../src/reconcile/member-mesh.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

const silent = pino({ level: "silent" });
const within = { timeout: 20_000, interval: 50 };
const never = () => new AbortController().signal;

interface Node {
  readonly member: MemberRecord;
  readonly input: BootstrapInput;
  readonly key: NodeKey;
  readonly db: NodeDb;
  readonly roster: Roster;
  mesh: MemberMesh;
  stop(): Promise<void>;
}

let cleanup: AsyncDisposableStack;
beforeEach(() => {
  cleanup = new AsyncDisposableStack();
});
afterEach(() => cleanup.disposeAsync());

/** Each test has a part of the loopback to itself, so that the port can be the real one. */
const network = (): string => `127.${[0, 0].map(() => 2 + Math.floor(Math.random() * 250)).join(".")}`;

function aNode(name: string, address: string, role: MemberRecord["role"]): Node {
  const key = createNodeKey(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
  const db = openNodeDb(":memory:");
  const roster = createRoster(key.fingerprint, createRosterStore<KnownMember>(db), Date.now);
  const member: MemberRecord = {
    ...{ id: key.id, name, role, addresses: [address], k8sdAddress: `${address}:6400`, state: "active" },
    ...{ publicKeyFingerprint: key.fingerprint, meshPeer: key.meshPeer, incarnation: 1, versions: {} },
    ...{ podSubnetIndex: 1, changedAt: 0, revision: 5 },
  };
  const base = aBootstrapInput({ kubernetes: true });
  const view = { ...base.view, name, role, addresses: [address], k8sdAddress: `${address}:6400` };
  const node = { member, input: { ...base, clusterId: "a-cluster", nodeId: key.id, view }, key, db, roster };
  cleanup.defer(() => void db.close());
  return start(node);
}

/** Also again, with what it has on its disk. */
function start(node: Omit<Node, "mesh" | "stop">): Node {
  const { roster, db, key } = node;
  const stores = { store: createReplicaStore(db), peers: createPeerCache(db) };
  const mesh = createMemberMesh({ nodeKey: key, roster, ...stores, log: silent, now: Date.now });
  const end = new AbortController();
  const running = mesh.run(node.input, end.signal);
  const stop = async () => {
    end.abort();
    await running;
  };
  cleanup.defer(stop);
  return { ...node, mesh, stop };
}

function known({ revision: _revision, token: _token, ...member }: MemberRecord): KnownMember {
  return { ...member, podCidrs: [] };
}

function tell(nodes: readonly Node[], members: readonly Node[]): void {
  for (const { roster } of nodes) roster.replace(members.map(({ member }) => known(member)));
}

async function cluster(): Promise<{ n1: Node; n2: Node; w1: Node }> {
  const net = network();
  const n1 = aNode("n1", `${net}.1`, "control-plane");
  const n2 = aNode("n2", `${net}.2`, "control-plane");
  const w1 = aNode("w1", `${net}.3`, "worker");
  tell([n1, n2, w1], [n1, n2, w1]);
  return { n1, n2, w1 };
}

const states = ({ mesh }: Node): string[] => [...(mesh.liveness()?.values() ?? [])].map(({ state }) => state);

async function allAlive(...nodes: readonly Node[]): Promise<void> {
  const wanted = nodes.map(() => "alive");
  for (const node of nodes) await vi.waitFor(() => expect(states(node)).toEqual(wanted), within);
}

test("there is one from the second member on; what a control plane reads in the ledger is the worker's roster", async () => {
  const net = network();
  const n1 = aNode("n1", `${net}.1`, "control-plane");
  tell([n1], [n1]);
  await vi.waitFor(
    async () => expect(await n1.mesh.state(never())).toMatchObject({ off: "this node is the only member", peers: [] }),
    within,
  );
  expect(n1.mesh.liveness()).toBeUndefined();
  n1.mesh.publish({ epoch: 1, revision: 7, members: [n1.member] });

  const w1 = aNode("w1", `${net}.2`, "worker");
  tell([n1, w1], [n1, w1]);
  await allAlive(n1, w1);
  const n3 = { ...n1.member, id: "n3", name: "n3", state: "joining" as const, revision: 9 };
  const came = { ...w1.member, revision: 8 };
  n1.mesh.publish({ epoch: 1, revision: 9, members: [n1.member, came, n3, { ...n3, id: "x", state: "removed" }] });
  const seen = () => w1.roster.members().map(({ name, state, podCidrs }) => [name, state, podCidrs]);
  await vi.waitFor(
    () =>
      expect(seen().toSorted()).toEqual([
        ["n1", "active", ["10.1.1.0/24"]],
        ["n3", "joining", ["10.1.1.0/24"]],
        ["w1", "active", ["10.1.1.0/24"]],
      ]),
    within,
  );
  expect(w1.mesh.isCurrent()).toBe(true);
  expect(w1.mesh.epoch()).toBe(1);
  expect(Date.now() - (w1.roster.heardAt() ?? 0)).toBeLessThan(10_000);

  // It has the same after a restart, and nothing when it is out of the cluster.
  await w1.stop();
  const again = start(w1);
  await vi.waitFor(async () => expect((await again.mesh.state(never())).head.revision).toBe(9), within);
  await again.stop();
  forgetMesh(w1.db);
  expect(createReplicaStore(w1.db).load()).toBeUndefined();
});

test("a worker that comes in with many opens its mesh after them and says so; a control plane does at once", async () => {
  const net = network();
  const n1 = aNode("n1", `${net}.1`, "control-plane");
  const w1 = aNode("w1", `${net}.2`, "worker");
  const justNow = { changedAt: Date.now() };
  const others = Array.from({ length: 5 }, (_, index) => ({ ...known(w1.member), ...justNow, id: `other-${index}` }));
  const all = [{ ...known(n1.member), ...justNow }, { ...known(w1.member), ...justNow }, ...others];
  for (const { roster } of [n1, w1]) roster.replace(all);
  await vi.waitFor(() => expect(n1.mesh.liveness()).toBeDefined(), within);
  expect(await w1.mesh.state(never())).toMatchObject({
    off: expect.stringMatching(/^it starts within [5-9] s, after/),
  });
  await vi.waitFor(() => expect(w1.mesh.liveness()?.get(n1.member.id)?.state).toBe("alive"), within);
});

test("a removed member is nobody's peer at once and is refused; a stopped one has left, and nothing is current then", async () => {
  const { n1, n2, w1 } = await cluster();
  await allAlive(n1, n2, w1);
  tell([n1, n2], [n1, n2]);
  await vi.waitFor(() => {
    for (const node of [n1, n2]) expect(node.mesh.liveness()?.has(w1.member.id)).toBe(false);
  }, within);
  const refusals = async () => (await w1.mesh.state(never())).peers.map(({ problem }) => problem?.reason);
  await vi.waitFor(async () => expect(await refusals()).toEqual(["not-a-member", "not-a-member"]), within);
  expect(w1.mesh.isCurrent()).toBe(false);
  expect(w1.mesh.epoch()).toBeUndefined();
  await n2.stop();
  await vi.waitFor(() => expect(n1.mesh.liveness()?.get(n2.member.id)?.state).toBe("left"), within);
});

test("the way to the API servers follows, those on dead nodes last", async () => {
  const { n1, n2, w1 } = await cluster();
  const folder = await mkdtemp(join(tmpdir(), "k8s-mesh-"));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const paths = createPaths({ root: folder, snap: folder, snapCommon: folder });
  let dead: readonly string[] = [];
  // Which state each has is the detector's, and tested there.
  const liveness = () =>
    new Map(
      [...(w1.mesh.liveness() ?? [])].map(([id, seen]) => [
        id,
        dead.includes(id) ? { ...seen, state: "dead" as const } : seen,
      ]),
    );
  const input = { ...w1.input, view: { ...w1.input.view, paths } };
  const reconciler = createApiServers(input, { roster: w1.roster, mesh: { liveness } });
  const written = async () => {
    await reconciler.reconcile(never());
    return JSON.parse(await readFile(apiserverProxyEndpoints(paths), "utf8")) as unknown;
  };
  await allAlive(n1, n2, w1);
  const endpoints = [n1, n2].map(({ member }) => `${member.addresses[0]}:6443`);
  expect(await written()).toEqual({ endpoints });
  dead = [n1.member.id, w1.member.id];
  expect(await written()).toEqual({ endpoints, away: [endpoints[0]] });
  dead = [];
  tell([w1], [n2, w1]);
  expect(await written()).toEqual({ endpoints: [endpoints[1]] });
});
