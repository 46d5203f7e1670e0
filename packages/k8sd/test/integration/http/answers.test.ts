import { describe, expect, test } from "vitest";
import type { BootstrapOrder } from "../../../src/cluster/cluster.ts";
import type { Domain } from "../../../src/http/domain.ts";
import { AppError } from "../../../src/lib/app-error.ts";
import { call, clusterStatus, fakeDomain, run, serve } from "./fixtures.ts";

const bootstrapBody = { name: "N1", address: "10.0.0.1:6400", config: {}, timeout: 90_000_000_000 };
const error = (code: number, text: string) => ({
  type: "error",
  status: "",
  status_code: 0,
  operation: "",
  error_code: code,
  error: text,
  metadata: null,
});

describe("envelope", () => {
  test("of a success has all seven keys, ends in a newline and does not escape HTML", async () => {
    await using server = await serve(fakeDomain());
    const { status, headers, text } = await call(server.socket, "GET", "/1.0/k8sd/kubeconfig", {
      body: { server: "<&>" },
    });
    expect(status).toBe(200);
    expect(headers["content-type"]).toBe("application/json");
    expect(text).toBe(
      '{"type":"sync","status":"Success","status_code":200,"operation":"","error_code":0,"error":"","metadata":{"kubeconfig":"server: <&>"}}\n',
    );
  });

  test("of an error has the code twice and nosniff", async () => {
    await using server = await serve(fakeDomain());
    const { status, headers, json, text } = await call(server.socket, "GET", "/1.0/nothing");
    expect([status, json]).toEqual([404, error(404, "Not Found")]);
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "x-content-type-options": "nosniff",
      "x-error-kind": "not-found",
    });
    expect(text.endsWith("\n")).toBe(true);
  });
});

describe("paths", () => {
  test("/ answers on both listeners, also to a body", async () => {
    await using server = await serve(fakeDomain({ databaseStatus: () => "Database is not yet initialized" }));
    for (const to of [server.socket, server.tls.address]) {
      const { status, json } = await call(to, "GET", "/", { body: '""', headers: { "capi-auth-token": "x" } });
      expect([status, json.metadata]).toEqual([200, ["/1.0"]]);
    }
  });

  test.each([
    "/1.0/k8sd/node/",
    "//1.0/k8sd/node",
    "/1.0/k8sd/../k8sd/node",
    "/1.0/k8sd/nod%65",
    "/1.0",
    "/1.0/k8sd/operations/",
  ])("%s is not cleaned into a known one", async (path) => {
    await using server = await serve(fakeDomain());
    expect((await call(server.socket, "GET", path)).status).toBe(404);
  });

  test("a query changes nothing", async () => {
    await using server = await serve(fakeDomain());
    expect((await call(server.socket, "GET", "/1.0/k8sd/node?x=/y")).status).toBe(200);
  });

  test("methods", async () => {
    await using server = await serve(fakeDomain());
    expect((await call(server.socket, "PATCH", "/1.0/k8sd/node")).json).toEqual(error(501, "Not Implemented"));
    expect((await call(server.socket, "PUT", "/1.0/k8sd/cluster/config", { body: {} })).json).toEqual(
      error(501, "Not Implemented"),
    );
    expect((await call(server.socket, "POST", "/1.0/snap/refresh", { body: {} })).json).toEqual(
      error(501, "Not Implemented"),
    );
    expect((await call(server.socket, "OPTIONS", "/1.0/k8sd/node")).json).toEqual(
      error(404, "Method 'OPTIONS' not found"),
    );
    expect((await call(server.socket, "HEAD", "/1.0/k8sd/node")).status).toBe(404);
  });
});

describe("core", () => {
  test("server status", async () => {
    await using server = await serve(fakeDomain({ databaseStatus: () => "Database is not yet initialized" }));
    const { json } = await call(server.tls.address, "GET", "/core/1.0");
    expect(json.metadata).toEqual({ name: "n1", address: "", version: "1.0", ready: false, extensions: [] });
  });

  test("ready, not ready, and shutting down", async () => {
    let ready = false;
    await using server = await serve(fakeDomain({ ready: () => ready }));
    const ask = async () => (await call(server.socket, "GET", "/core/1.0/ready")).json;
    expect(await ask()).toEqual(error(503, "Daemon is not ready yet"));
    ready = true;
    expect((await ask()).metadata).toEqual({});
    server.closing.abort();
    expect(await ask()).toEqual(error(503, "Daemon is shutting down"));
    expect((await call(server.socket, "GET", "/")).status).toBe(503);
  });
});

describe("cluster", () => {
  test("status, and its own text before init", async () => {
    let initialised = true;
    const databaseStatus = () => (initialised ? "Database is online" : "Database is not yet initialized");
    await using server = await serve(fakeDomain({ databaseStatus }));
    expect((await call(server.socket, "GET", "/1.0/k8sd/cluster")).json.metadata).toEqual({ status: clusterStatus });
    initialised = false;
    expect((await call(server.socket, "GET", "/1.0/k8sd/cluster")).json).toEqual(
      error(503, "daemon not yet initialized"),
    );
  });

  test("the local node: 503 means only that it is not initialised", async () => {
    let failure: AppError | undefined;
    const localNode: Domain["localNode"] = async () => {
      if (failure !== undefined) throw failure;
      return { status: { name: "n1" }, taints: [""] };
    };
    await using server = await serve(fakeDomain({ localNode }));
    const ask = async () => (await call(server.socket, "GET", "/1.0/k8sd/node")).json;
    expect((await ask()).metadata).toEqual({ status: { name: "n1" }, taints: [""] });
    failure = new AppError("unavailable", "cannot read the ledger: no quorum");
    expect(await ask()).toEqual(error(500, "cannot read the ledger: no quorum"));
  });

  test("configuration failures have the contract's words", async () => {
    const clusterConfig = () => Promise.reject(new AppError("unavailable", "no quorum"));
    await using server = await serve(fakeDomain({ clusterConfig }));
    const { json } = await call(server.socket, "GET", "/1.0/k8sd/cluster/config");
    expect(json).toEqual(error(500, "failed to retrieve cluster configuration: no quorum"));
  });

  test("kubeconfig reads the body of a GET, and needs one", async () => {
    await using server = await serve(fakeDomain());
    const ask = async (body: string) => (await call(server.socket, "GET", "/1.0/k8sd/kubeconfig", { body })).json;
    expect((await ask('{"server": "a"} trailing')).metadata).toEqual({ kubeconfig: "server: a" });
    expect(await ask("")).toEqual(error(400, "failed to parse request: EOF"));
    expect(await ask('{"sever": ""}')).toEqual(
      error(400, 'failed to parse request: json: unknown field "sever". Did you mean "server"?'),
    );
  });
});

describe("bootstrap", () => {
  const recording = (orders: [BootstrapOrder, string][], change: Partial<Domain> = {}) =>
    fakeDomain({
      databaseStatus: () => "Database is not yet initialized",
      bootstrap: (order, { requestId }) => {
        orders.push([order, requestId]);
        return run([], { name: order.name, address: order.address });
      },
      ...change,
    });

  test("gives the domain a clean order and answers its result", async () => {
    const orders: [BootstrapOrder, string][] = [];
    await using server = await serve(recording(orders));
    const headers = { "X-Request-Id": "req-1" };
    const answer = await call(server.socket, "POST", "/1.0/k8sd/cluster", { body: bootstrapBody, headers });
    expect(answer.json.metadata).toEqual({ name: "n1", address: "10.0.0.1:6400" });
    expect(answer.headers["x-request-id"]).toBe("req-1");
    expect(orders).toEqual([[{ name: "n1", address: "10.0.0.1:6400", config: {}, timeoutMs: 90_000 }, "req-1"]]);
  });

  test("takes the file as it was written", async () => {
    const orders: [BootstrapOrder, string][] = [];
    await using server = await serve(recording(orders));
    const send = (config: string) =>
      call(server.socket, "POST", "/1.0/k8sd/cluster", { body: { ...bootstrapBody, config } });
    await send("disable-rbac: yes\nextra-node-kubelet-args: {--v: 2}\n");
    expect(orders[0]?.[0].config).toEqual({ "disable-rbac": true, "extra-node-kubelet-args": { "--v": "2" } });
    expect((await send("pod_cidr: x")).json).toEqual(
      error(400, 'cannot read the configuration: unknown key "pod_cidr" (line 1). Did you mean "pod-cidr"?'),
    );
    expect(orders).toHaveLength(1);
  });

  test.each<[string, AppError, string]>([
    [
      "invalid",
      new AppError("invalid", "gateway requires network to be enabled", { remedy: "Enable it." }),
      "failed to prepare bootstrap config: gateway requires network to be enabled. Enable it.",
    ],
    [
      "unavailable",
      new AppError("unavailable", "cannot start etcd"),
      "failed to bootstrap new cluster: cannot start etcd",
    ],
    ["already", new AppError("already-initialised", "x"), "cluster is already bootstrapped"],
  ])("a failure (%s) is 400, thrown at once or later", async (_kind, failure, text) => {
    for (const how of ["at once", "later"]) {
      const bootstrap: Domain["bootstrap"] = () => {
        if (how === "at once") throw failure;
        return run([], Promise.reject(failure));
      };
      await using server = await serve(recording([], { bootstrap }));
      const { status, json } = await call(server.socket, "POST", "/1.0/k8sd/cluster", { body: bootstrapBody });
      expect([status, json]).toEqual([400, error(400, text)]);
    }
  });

  test("a bad host name has its own words", async () => {
    await using server = await serve(recording([]));
    const { json } = await call(server.socket, "POST", "/1.0/k8sd/cluster", {
      body: { ...bootstrapBody, name: "no_de" },
    });
    expect(json.error_code).toBe(400);
    expect(json.error).toMatch(/^invalid hostname "no_de": /);
  });
});

describe("what callers cannot do", () => {
  test("send more than fits", async () => {
    await using server = await serve(fakeDomain());
    const body = `{"server": "${"x".repeat(5 * 1024 * 1024)}"}`;
    const { json } = await call(server.socket, "GET", "/1.0/k8sd/kubeconfig", { body });
    expect(json).toMatchObject({ error_code: 400, error: expect.stringContaining("http: request body too large") });
  });

  test("learn about bugs", async () => {
    const clusterStatus = () => Promise.reject(new Error("password is hunter2"));
    await using server = await serve(fakeDomain({ clusterStatus }));
    const { status, text } = await call(server.socket, "GET", "/1.0/k8sd/cluster", {
      headers: { "x-request-id": "r1" },
    });
    expect(status).toBe(500);
    expect(text).not.toContain("hunter2");
    expect(text).toContain("request r1");
  });

  test("put what they like into the request id", async () => {
    await using server = await serve(fakeDomain());
    const { headers } = await call(server.socket, "GET", "/", { headers: { "x-request-id": "<script>" } });
    expect(headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("hold a handler for ever: it is told to end", async () => {
    const clusterStatus: Domain["clusterStatus"] = (signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(new AppError("timeout", "cannot see the cluster in time")));
      });
    await using server = await serve(fakeDomain({ clusterStatus }), { requestTimeoutMs: 50 });
    const { json } = await call(server.socket, "GET", "/1.0/k8sd/cluster");
    expect(json).toEqual(error(504, "cannot see the cluster in time"));
  });
});
