import { generateKeyPairSync } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import type { Member } from "@k8sd/api-types";
import { expect, test } from "vitest";
import type { BootstrapInput } from "../../../src/cluster/bootstrap/plan.ts";
import { createFollowEngine } from "../../../src/cluster/migrate/follow-engine.ts";
import { createNodeKey } from "../../../src/cluster/node-key.ts";
import { createRoster } from "../../../src/cluster/roster.ts";
import { listenTls } from "../../../src/http/listeners.ts";
import { createIdentityStore } from "../../../src/node-db/identity.ts";
import { openNodeDb } from "../../../src/node-db/node-db.ts";
import { fingerprint } from "../../../src/pki/expiry.ts";
import { createMembersPoll } from "../../../src/reconcile/members.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";
import { keyPair } from "../http/fixtures.ts";

const signal = () => AbortSignal.timeout(10_000);

/** A worker, and a control plane that tells it who is in. */
async function aWorker() {
  const nodeKey = createNodeKey(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
  const own: Member = {
    ...{ id: nodeKey.id, name: "w1", addresses: ["10.0.0.9"], "k8sd-address": "10.0.0.9:6400", role: "worker" },
    ...{ state: "active", "pod-cidrs": [], key: nodeKey.fingerprint },
  };
  const asked: string[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await text(request);
    asked.push(`${request.method} ${request.url}${body === "" ? "" : ` ${body}`}`);
    if (request.method === "POST") own["mesh-peer"] = (JSON.parse(body) as { "mesh-peer": string })["mesh-peer"];
    const listed = { members: [own], "api-servers": [], "datastore-type": "etcd" };
    const metadata = request.method === "POST" ? { pki: {} } : listed;
    response.end(JSON.stringify({ type: "sync", status: "Success", status_code: 200, error: "", metadata }));
  };
  const pair = keyPair("n1");
  const server = await listenTls({ host: "127.0.0.1", port: 0, ...pair }, (request, response) => {
    void answer(request, response);
  });
  const base = aBootstrapInput({ kubernetes: false });
  const view = { ...base.view, name: "w1", role: "worker" as const, addresses: ["10.0.0.9"] };
  const via = { fingerprint: fingerprint(pair.cert), addresses: [server.address], apiServers: [] };
  const roster = createRoster(nodeKey.fingerprint, { read: () => [], write: () => {} }, Date.now);
  const mesh = { current: false, isCurrent: () => mesh.current };
  const input = { ...base, nodeId: nodeKey.id, view: { ...view, k8sdAddress: "10.0.0.9:6400" }, via };
  const db = openNodeDb(":memory:");
  const identity = createIdentityStore<BootstrapInput>(db);
  identity.commit({ id: nodeKey.id, clusterId: "c", view: input }, Date.now());
  const engine = createFollowEngine({ identity, now: Date.now });
  const poll = createMembersPoll(input, { roster, mesh, nodeKey, now: Date.now, engine });
  const typeOf = () => identity.read()?.view.config.datastore.type;
  return { poll, typeOf, asked, mesh, roster, nodeKey, [Symbol.asyncDispose]: () => server.close(0) };
}

test("a worker whose record has no peer id says it, once", async () => {
  await using worker = await aWorker();
  await worker.poll.reconcile(signal());
  await worker.poll.reconcile(signal());
  const said = worker.asked.filter((request) => request.startsWith("POST"));
  expect(said).toEqual([expect.stringContaining(`"mesh-peer":"${worker.nodeKey.meshPeer}"`)]);
  expect(worker.roster.members()).toMatchObject([{ name: "w1", meshPeer: worker.nodeKey.meshPeer }]);
});

test("a worker knows what holds the cluster's data after that has moved", async () => {
  await using worker = await aWorker();
  expect(worker.typeOf()).not.toBe("etcd");
  await worker.poll.reconcile(signal());
  expect(worker.typeOf()).toBe("etcd");
});

test("a worker asks when it starts, and then only while the mesh does not tell it", async () => {
  await using worker = await aWorker();
  worker.mesh.current = true;
  const round = async () => {
    worker.asked.length = 0;
    await worker.poll.reconcile(signal());
    return worker.asked.filter((request) => request.startsWith("GET")).length;
  };
  expect([await round(), await round(), await round()]).toEqual([1, 0, 0]);
  worker.mesh.current = false;
  expect(await round()).toBe(1);
});
