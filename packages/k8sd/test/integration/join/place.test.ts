import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ClusterLink, createClusterLink } from "../../../src/cluster/join/link.ts";
import { loadNodeKey } from "../../../src/cluster/node-key.ts";
import { decodeJoinToken } from "../../../src/cluster/tokens-encoding.ts";
import { createAudit } from "../../../src/node-db/audit.ts";
import { openNodeDb } from "../../../src/node-db/node-db.ts";
import { createCsr } from "../../../src/pki/csr.ts";
import { generateKey } from "../../../src/pki/keys.ts";
import { bootstrap, createNode, joinCluster, membersOf, type TestNode, token } from "./nodes.ts";

let founder: TestNode;
beforeAll(async () => {
  founder = await createNode("n1");
  await bootstrap(founder);
}, 60_000);
afterAll(() => founder[Symbol.asyncDispose]());

const worker = { name: "", worker: true, ttl: 0 };

/** The node's way to the cluster, as its daemon would take it. */
async function linkFor(node: TestNode, joinToken: string): Promise<ClusterLink> {
  const nodeKey = await loadNodeKey(node.paths.nodeKey);
  const identity = nodeKey.certificate(node.name, new Date());
  return createClusterLink({ ...decodeJoinToken(joinToken), identity, patienceMs: 5_000 });
}

function aRequest(node: TestNode, joinToken: string, requests: Record<string, string> = {}) {
  const { secret } = decodeJoinToken(joinToken);
  const addresses = ["127.0.0.1"];
  const who = { name: node.name, role: "worker", addresses, "k8sd-address": node.address } as const;
  return { ...who, secret, versions: {}, requests };
}

describe("a request for a place", () => {
  test("with a certificate that a worker does not get is refused, and nothing is held for it", async () => {
    await using node = await createNode("q1");
    const joinToken = await token(founder, worker);
    const link = await linkFor(node, joinToken);
    const signal = AbortSignal.timeout(20_000);
    for (const name of ["apiserver", "server", "admin-client"]) {
      const subject = { commonName: "kubernetes-admin", organization: "system:masters" };
      const csr = createCsr(subject, { dns: [], ip: [] }, generateKey());
      await expect(link.reserve(aRequest(node, joinToken, { [name]: csr }), signal), name).rejects.toMatchObject({
        kind: "forbidden",
      });
      expect(await membersOf(founder)).not.toHaveProperty("q1");
    }
    expect((await joinCluster(node, joinToken)).json.error).toBe("");
  });

  test("of a version that does not go with the cluster's is refused with the remedy; the token stays good", async () => {
    await using node = await createNode("q3");
    const joinToken = await token(founder, worker);
    const link = await linkFor(node, joinToken);
    const request = { ...aRequest(node, joinToken), versions: { k8sd: "99.0.0" } };
    await expect(link.reserve(request, AbortSignal.timeout(20_000))).rejects.toThrow(
      /its k8sd is 99\.0\.0, that of \S+ is .*Install k8sd/,
    );
    expect(await membersOf(founder)).not.toHaveProperty("q3");
    expect((await joinCluster(node, joinToken)).json.error).toBe("");
  });

  test("under a name or an address of the API server is refused: its certificates would let it pass for that", async () => {
    await using node = await createNode("q4");
    const joinToken = await token(founder, worker);
    const link = await linkFor(node, joinToken);
    const signal = AbortSignal.timeout(20_000);
    const ask = (change: object) => link.reserve({ ...aRequest(node, joinToken), ...change }, signal);
    for (const name of ["kubernetes", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"]) {
      await expect(ask({ name }), name).rejects.toThrow(`the API server answers under ${name}`);
    }
    for (const addresses of [["10.152.183.1"], ["127.0.0.1", "10.152.183.1"]]) {
      await expect(ask({ addresses })).rejects.toThrow("the API server answers under 10.152.183.1");
    }
    await expect(ask({ name: "Q4" })).rejects.toMatchObject({ kind: "invalid" });
    await expect(ask({ name: "q_4" })).rejects.toMatchObject({ kind: "invalid" });
    expect(Object.keys(await membersOf(founder))).not.toContain("q4");
    using db = openNodeDb(founder.paths.nodeDb);
    expect(createAudit(db, Date.now).latest(1)).toMatchObject([
      {
        actor: expect.stringMatching(/^node /),
        action: "join-token.reserve",
        outcome: expect.stringContaining("the API server answers under 10.152.183.1"),
        details: { name: "q4", source: "127.0.0.1" },
      },
    ]);
    expect((await joinCluster(node, joinToken)).json.error).toBe("");
    // Its token is used up, and lets it ask for its certificates again: for what it is, not for more.
    await expect(ask({ addresses: ["10.152.183.1"] })).rejects.toThrow("the API server answers under 10.152.183.1");
    const { meshPeer } = await loadNodeKey(founder.paths.nodeKey);
    await expect(ask({ "mesh-peer": meshPeer })).rejects.toThrow("cannot take the mesh identity of n1");
    const move = { addresses: ["10.152.183.1"], "k8sd-address": "10.152.183.1:6400", requests: {} };
    await expect(link.ask("moveMember", move, signal)).rejects.toThrow("the API server answers under 10.152.183.1");
  });

  test("of a control plane with the address of another is refused with that one's name, and nothing is held", async () => {
    await using node = await createNode("q5");
    const joinToken = await token(founder, { name: "q5", worker: false, ttl: 0 });
    const link = await linkFor(node, joinToken);
    const role = "control-plane" as const;
    const request = { ...aRequest(node, joinToken), role, "k8sd-address": founder.address };
    await expect(link.reserve(request, AbortSignal.timeout(20_000))).rejects.toThrow(
      `n1, which is active, has the address ${founder.address}. Remove it with 'k8s remove-node n1'`,
    );
    expect(await membersOf(founder)).not.toHaveProperty("q5");
  });

  test("cannot be advanced by a node that has none", async () => {
    await using node = await createNode("q2");
    const link = await linkFor(node, await token(founder, worker));
    const signal = AbortSignal.timeout(20_000);
    for (const action of ["begin", "renew", "commit"] as const) {
      await expect(link.advance(action, signal)).rejects.toMatchObject({ kind: "forbidden" });
    }
    await link.advance("release", signal);
    await expect(link.members(signal)).rejects.toMatchObject({ kind: "forbidden" });
  });
});

describe("a node that the cluster took in and that does not know it", () => {
  async function takenIn(node: TestNode, joinToken: string): Promise<ClusterLink> {
    const link = await linkFor(node, joinToken);
    const signal = AbortSignal.timeout(20_000);
    await link.reserve(aRequest(node, joinToken), signal);
    await link.advance("begin", signal);
    await link.advance("commit", signal);
    expect((await membersOf(founder))[node.name]).toBe("active");
    return link;
  }

  test("goes on with the same token, which is spent once", async () => {
    const joinToken = await token(founder, worker);
    await using node = await createNode("k1");
    await takenIn(node, joinToken);
    expect((await joinCluster(node, joinToken)).json.error).toBe("");
    expect((await node.call("GET", "/1.0/k8sd/node")).status).toBe(200);
    await using other = await createNode("k2");
    expect((await joinCluster(other, joinToken)).json.error).toContain("the token is used up");
  });

  test("can give up, and is out", async () => {
    await using node = await createNode("k3");
    const link = await takenIn(node, await token(founder, worker));
    await link.advance("release", AbortSignal.timeout(20_000));
    expect(await membersOf(founder)).not.toHaveProperty("k3");
    await expect(link.members(AbortSignal.timeout(20_000))).rejects.toMatchObject({ kind: "forbidden" });
  });
});
