import { Agent } from "node:https";
import { type EndpointSpec, endpoints } from "@k8sd/api-types";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Domain } from "../../../src/http/domain.ts";
import { routes, unimplemented } from "../../../src/http/routes.ts";
import { call, fakeDomain, keyOf, keyPair, type Server, serve } from "./fixtures.ts";

const member = keyPair("n1");
const worker = keyPair("w1");
const stranger = keyPair("n2");
const longAgo = keyPair("old", new Date(Date.now() - 10 * 86_400_000));
const now: { domain: Domain } = { domain: fakeDomain() };
let server: Server;

beforeAll(async () => {
  // Every call looks at the domain of the moment, so that one server serves all tests.
  const domain = new Proxy({} as Domain, { get: (_target, key) => Reflect.get(now.domain, key) });
  server = await serve(domain, { pair: member });
});
afterAll(() => server[Symbol.asyncDispose]());

const trusting = (change: Partial<Domain> = {}) =>
  fakeDomain({
    identity: () => ({ name: "n1", address: server.tls.address }),
    trustedKeys: () => new Set([keyOf(member.cert), keyOf(longAgo.cert)]),
    workerKeys: () => new Set([keyOf(worker.cert)]),
    ...change,
  });

const callers = ["unix", "member", "worker", "stranger", "nobody"] as const;
/** What a worker's key is good for is written down once more: a row that is added is not for workers by mistake. */
const forWorkers = ["/1.0/k8sd/members"];
const isTrusted = (caller: (typeof callers)[number], { path }: EndpointSpec) =>
  caller === "unix" || caller === "member" || (caller === "worker" && forWorkers.includes(path));

const ask = (caller: (typeof callers)[number], spec: Pick<EndpointSpec, "method" | "path">, headers = {}) => {
  const client = { member, worker, stranger }[caller as string];
  const to = caller === "unix" ? server.socket : server.tls.address;
  return call(to, spec.method, spec.path.replace("{id}", "op-1"), { headers, ...(client ? { client } : {}) });
};

describe("every endpoint", () => {
  const rows = Object.entries(endpoints) as [string, EndpointSpec][];
  const answered = (spec: EndpointSpec) => routes.some((row) => row.method === spec.method && row.path === spec.path);

  test.each(rows)("%s: before init", async (_name, spec) => {
    now.domain = trusting({ databaseStatus: () => "Database is not yet initialized" });
    for (const caller of callers) {
      const { status, json } = await ask(caller, spec);
      const refused = status === 503 && json.error === "Database is not yet initialized";
      expect(refused, `${caller} got ${status} ${json.error}`).toBe(!spec.beforeInit);
    }
  });

  test.each(rows)("%s: who may call it", async (_name, spec) => {
    now.domain = trusting();
    for (const caller of callers) {
      const { status, json } = await ask(caller, spec);
      if (!answered(spec)) expect([status, json.error]).toEqual([501, "Not Implemented"]);
      else if (spec.access.endsWith("-token")) expect(status, caller).toBe(401);
      else if (spec.access === "anyone") expect(status, caller).not.toBe(403);
      else if (isTrusted(caller, spec)) expect([401, 403, 501], caller).not.toContain(status);
      else if (spec.access === "monitoring")
        expect([status, json.error], caller).toEqual([401, "missing bearer token"]);
      else expect([status, json.error], caller).toEqual([403, "Forbidden"]);
    }
  });

  test.each(rows)("%s: on a worker", async (_name, spec) => {
    now.domain = trusting({ isWorker: () => true });
    const { status, json } = await ask("unix", spec);
    const refused = status === 403 && json.error === "this action is restricted on workers";
    expect(refused).toBe(["trusted-control-plane", "monitoring"].includes(spec.access) && answered(spec));
  });

  test("is a row or known to be unimplemented", () => {
    const known = new Set([...routes, ...unimplemented].map(({ path }) => path));
    expect([...known].sort()).toEqual([...new Set(rows.map(([, { path }]) => path))].sort());
  });
});

describe("trust over TLS", () => {
  const path = "/1.0/k8sd/node";

  test("needs the Host to be the node's own address", async () => {
    now.domain = trusting();
    const port = server.tls.address.split(":")[1];
    for (const host of [`localhost:${port}`, "127.0.0.1", "n1", "[2001:0db8::1]:6400", "a b"]) {
      const { status } = await call(server.tls.address, "GET", path, { client: member, headers: { host } });
      expect(status, host).toBe(403);
    }
    now.domain = trusting({ identity: () => ({ name: "n1", address: "[fe80::1%eth0]:6400" }) });
    const headers = { host: "[fe80::1]:6400" };
    expect((await call(server.tls.address, "GET", path, { client: member, headers })).status).toBe(200);
  });

  test("ends with the life of the certificate", async () => {
    now.domain = trusting();
    expect((await call(server.tls.address, "GET", path, { client: longAgo })).status).toBe(403);
  });

  test("holds, and can end, on a TLS session that is resumed", async () => {
    let members = [keyOf(member.cert)];
    now.domain = trusting({ trustedKeys: () => new Set(members) });
    const agent = new Agent({ keepAlive: false, maxCachedSessions: 10 });
    const ask = () => call(server.tls.address, "GET", path, { client: member, agent });
    expect(await ask()).toMatchObject({ status: 200, resumed: false });
    expect(await ask()).toMatchObject({ status: 200, resumed: true });
    members = [];
    expect(await ask()).toMatchObject({ status: 403, resumed: true });
    agent.destroy();
  });

  test("ends when the member is removed", async () => {
    now.domain = trusting({ trustedKeys: () => new Set() });
    expect((await call(server.tls.address, "GET", path, { client: member })).status).toBe(403);
  });

  test("cannot be told: refused, and the reason stays inside", async () => {
    now.domain = trusting({
      trustedKeys: () => {
        throw new Error("secret path /x");
      },
    });
    const { status, json } = await call(server.tls.address, "GET", path, { client: member });
    expect(status).toBe(403);
    expect(json.error).toMatch(/^Failed to authenticate request: (?!.*secret)/);
  });

  test("a node without address trusts nobody on the network", async () => {
    now.domain = trusting({ identity: () => ({ name: "n1", address: "" }) });
    expect((await call(server.tls.address, "GET", path, { client: member, headers: { host: "" } })).status).toBe(403);
  });
});

describe("metrics", () => {
  test("are for whoever has a token of a user in the group system:monitoring", async () => {
    const users: Record<string, string[]> = { prometheus: ["system:monitoring"], ann: ["dev"] };
    now.domain = trusting({
      authTokens: {
        ...fakeDomain().authTokens,
        check: async (token) => {
          const groups = users[token];
          return groups && { username: token, groups };
        },
      },
    });
    const read = async (authorization: string) => {
      const { status, headers, text, json } = await call(server.tls.address, "GET", "/metrics", {
        headers: { authorization },
      });
      return status === 200 ? [status, headers["content-type"], text] : [status, json.error];
    };
    const type = "text/plain; version=0.0.4; charset=utf-8";
    expect(await read("Bearer prometheus")).toEqual([200, type, "k8sd_datastore_up 1\n"]);
    expect(await read("Bearer ann")).toEqual([403, "ann is not in the group system:monitoring"]);
    expect(await read("Bearer nobody")).toEqual([401, "invalid token"]);
    expect(await read("Basic prometheus")).toEqual([401, "missing bearer token"]);
  });
});

describe("order of checks", () => {
  test("initialised, then authentication, then method, then trust", async () => {
    now.domain = trusting({ databaseStatus: () => "Database is still starting" });
    const put = (caller: "unix" | "nobody") => ask(caller, { method: "PUT", path: "/1.0/k8sd/node" });
    expect((await put("nobody")).json.error).toBe("Database is still starting");
    now.domain = trusting();
    expect((await put("nobody")).status).toBe(501);
    expect((await ask("nobody", { method: "GET", path: "/1.0/k8sd/node" })).status).toBe(403);
  });

  test("a worker mark that cannot be read is an error", async () => {
    now.domain = trusting({
      isWorker: () => {
        throw new Error("EACCES");
      },
    });
    const { status, json } = await ask("unix", { method: "GET", path: "/1.0/k8sd/cluster/config" });
    expect([status, json.error]).toEqual([500, "failed to check if node is a worker: EACCES"]);
  });

  test("the status is told on a worker to its own users, and refused to other nodes", async () => {
    now.domain = trusting({ isWorker: () => true });
    const status = { method: "GET", path: "/1.0/k8sd/cluster" } as const;
    expect((await ask("unix", status)).status).toBe(200);
    const { status: code, json } = await ask("member", status);
    expect([code, json.error]).toEqual([403, "this action is restricted on workers"]);
  });
});
