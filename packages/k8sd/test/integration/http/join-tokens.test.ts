import { createHash, X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createSeal } from "../../../src/cluster/seal.ts";
import { decodeJoinToken } from "../../../src/cluster/tokens-encoding.ts";
import { hashOfSecret, idOfHash } from "../../../src/cluster/tokens-rules.ts";
import { createTokenService, type TokenService } from "../../../src/cluster/tokens-service.ts";
import { AppError } from "../../../src/lib/app-error.ts";
import { aClaim, type ControlPlane, createTestCluster, signal } from "../cluster/support.ts";
import { temporaryFolder } from "../datastore/support/engine-process.ts";
import { type Call, call, fakeDomain, keyPair, type Server, serve } from "./fixtures.ts";

const cleanup = new AsyncDisposableStack();
const pair = keyPair("k8s");
const path = "/1.0/k8sd/cluster/tokens";
const capiPath = "/1.0/x/capi/generate-join-token";
const capi = { "capi-auth-token": "capi-auth-token-secret" };
let plane: ControlPlane;
let service: TokenService;
let server: Server;
let hasNode: (name: string) => Promise<boolean>;

beforeAll(async () => {
  const cluster = cleanup.use(await createTestCluster());
  const folder = cleanup.use(await temporaryFolder());
  const clusterCert = join(folder.path, "cluster.crt");
  await writeFile(clusterCert, pair.cert);
  plane = cluster.controlPlane();
  service = createTokenService({
    connections: () => ({ datastore: async () => plane.datastore }),
    hasKubernetesNode: (name) => hasNode(name),
    seal: async () => createSeal(new Uint8Array(32).fill(7)),
    audit: plane.audit,
    clusterCert,
    now: cluster.now,
  });
  server = cleanup.use(await serve(fakeDomain({ joinTokens: service })));
});
afterAll(() => cleanup.disposeAsync());
beforeEach(() => {
  hasNode = async () => false;
});

const ask = async (method: string, to: string, o: Call = {}) => {
  const { status, json } = await call(server.socket, method, to, o);
  return { status, error: json.error, metadata: json.metadata as { token: string; tokens: { id: string }[] } };
};
const ticketOf = async (body: object, to = path, headers = {}) => {
  const { metadata } = await ask("POST", to, { body, headers });
  return decodeJoinToken(metadata.token);
};
const list = async () => (await ask("GET", path)).metadata.tokens;

describe("a join token", () => {
  test("pins the cluster's certificate and names the control planes", async () => {
    expect(await ticketOf({ name: "n2", worker: false })).toEqual({
      role: "control-plane",
      secret: expect.stringMatching(/^[\da-f]{64}$/),
      fingerprint: createHash("sha256").update(new X509Certificate(pair.cert).raw).digest("hex"),
      addresses: ["10.0.0.1:6400"],
    });
    expect((await ticketOf({ name: "N2.Example" })).secret).toBe((await ticketOf({ name: "n2.example" })).secret);
  });

  test("for workers without a name is made for the API's callers and for cluster-api", async () => {
    const tickets = [await ticketOf({ name: "", worker: true }), await ticketOf({ worker: true }, capiPath, capi)];
    for (const { role, secret } of tickets) {
      expect(role).toBe("worker");
      const claim = { role: "worker", name: "any", source: "10.0.0.9" } as const;
      expect(await service.check(secret, claim, signal())).toMatchObject({ name: "" });
    }
    expect((await call(server.socket, "POST", capiPath, { body: { worker: true } })).status).toBe(401);
  });

  test("lives as long as was asked for", async () => {
    await ask("POST", path, { body: { name: "ttl", worker: true, ttl: 3_600_000_000_000, uses: 1 } });
    expect(await list()).toContainEqual(
      expect.objectContaining({
        name: "ttl",
        created: "2026-08-21T10:00:00.000Z",
        expires: "2026-08-21T11:00:00.000Z",
      }),
    );
  });

  test.each([
    [{ name: "" }, 400, 'invalid hostname "": it is empty'],
    [{ name: "a_b", worker: true }, 400, 'invalid hostname "a_b"'],
    [{ name: "n3", uses: 2 }, 400, "failed to create token: cannot create a join token: uses can only be more than 1"],
    [{ worker: true, cidrs: ["x"] }, 400, 'failed to create token: cannot create a join token: cidrs holds "x"'],
    [{ worker: true, ttl: -1 }, 400, "failed to parse request"],
    [{ nam: "n3" }, 400, 'failed to parse request: json: unknown field "nam"'],
  ])("%j is refused", async (body, code, beginning) => {
    const { status, error } = await ask("POST", path, { body });
    expect(status).toBe(code);
    expect(error.slice(0, beginning.length)).toBe(beginning);
  });
});

describe("the name of a token", () => {
  const taken = (name: string) => `a node with this name is already part of the cluster: "${name}"`;

  test("cannot be a member's, nor that of a Kubernetes Node", async () => {
    hasNode = async (name) => name === "n7";
    for (const name of ["n1", "N1", "n7"]) {
      for (const worker of [true, false]) {
        const answer = await ask("POST", path, { body: { name, worker } });
        expect([answer.status, answer.error]).toEqual([500, taken(name.toLowerCase())]);
      }
    }
  });

  test("is the ledger's matter where the Kubernetes API does not answer", async () => {
    hasNode = () => Promise.reject(new AppError("unavailable", "down"));
    expect((await ask("POST", path, { body: { name: "n8" } })).status).toBe(200);
  });

  test("can be asked for again while the node is joining", async () => {
    const { secret } = await ticketOf({ name: "n9" });
    const claim = aClaim(secret, "n9", { role: "control-plane" });
    const { member } = await service.admission.reserve(claim, signal());
    expect((await ticketOf({ name: "n9" })).secret).toBe(secret);
    await service.admission.begin(member.id, signal());
    await service.admission.commit(member.id, signal());
    expect((await ask("POST", path, { body: { name: "n9" } })).error).toBe(taken("n9"));
    expect((await ticketOf({ worker: true })).addresses).toEqual(["10.0.0.1:6400", "10.0.0.9:6400"]);
  });
});

describe("the list of tokens", () => {
  test("shows state and uses, never a secret", async () => {
    const { secret } = await ticketOf({ worker: true, uses: 5, cidrs: ["10.0.0.0/8"] });
    await service.admission.reserve(aClaim(secret, "listed"), signal());
    const id = idOfHash(hashOfSecret(secret));
    expect((await list()).find((token) => token.id === id)).toEqual({
      id,
      role: "worker",
      name: "",
      state: "valid",
      uses: 5,
      used: 0,
      joining: 1,
      cidrs: ["10.0.0.0/8"],
      created: "2026-08-21T10:00:00.000Z",
      expires: "2026-08-22T10:00:00.000Z",
    });
    expect(JSON.stringify(await list())).not.toContain(secret.replace("worker::", ""));
  });

  test("shows what was revoked; who was joining with it is out", async () => {
    const { secret } = await ticketOf({ worker: true });
    await service.admission.reserve(aClaim(secret, "cut-off"), signal());
    const id = idOfHash(hashOfSecret(secret));
    expect(await ask("DELETE", `${path}/${id}`)).toMatchObject({ status: 200, metadata: {} });
    expect(await list()).toContainEqual(expect.objectContaining({ id, state: "revoked", joining: 0 }));
    expect(await plane.ledger.memberNamed("cut-off", signal())).toBeUndefined();
    expect(plane.audit.latest(5)).toContainEqual(
      expect.objectContaining({ actor: "root", action: "join-token.revoke", details: { id, source: "unix" } }),
    );
    const unknown = await ask("DELETE", `${path}/000000000000`);
    expect([unknown.status, unknown.error]).toEqual([
      404,
      `cannot revoke join token "000000000000": there is none with this id. 'k8s tokens' lists them.`,
    ]);
  });
});
