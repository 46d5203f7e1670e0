import { type IncomingMessage, request } from "node:http";
import type { OperationEvent } from "@k8sd/api-types";
import { describe, expect, test } from "vitest";
import type { Domain, OperationRun } from "../../../src/http/domain.ts";
import { AppError } from "../../../src/lib/app-error.ts";
import { call, fakeDomain, run, serve } from "./fixtures.ts";

const accept = { accept: "text/event-stream" };
const order = { name: "n1", address: "10.0.0.1:6400" };
const step = (number: number, state: OperationEvent["state"]): OperationEvent => ({
  operation: "op-1",
  kind: "bootstrap",
  step: number,
  of: 2,
  title: `Step ${number}`,
  state,
  elapsedMs: 5,
});

function parse(text: string): { event: string; data: unknown }[] {
  return text
    .split("\n\n")
    .filter((block) => block !== "" && !block.startsWith(":"))
    .map((block) => {
      const [event = "", data = ""] = block.split("\n");
      return { event: event.replace("event: ", ""), data: JSON.parse(data.replace("data: ", "")) };
    });
}

/** An operation that the test moves on. */
function held() {
  const result = Promise.withResolvers<{ name: string }>();
  const more = Promise.withResolvers<void>();
  const operation: OperationRun<{ name: string }> = {
    id: "op-1",
    result: result.promise,
    events: (async function* () {
      yield step(1, "started");
      await more.promise;
      yield step(1, "done");
    })(),
  };
  return { operation, result, more };
}

describe("an operation as a stream", () => {
  test("is its steps and then the envelope that a plain call gets", async () => {
    const bootstrap = () => run([step(1, "started"), step(1, "done"), step(2, "started")], { name: "n1" });
    await using server = await serve(fakeDomain({ bootstrap }));
    const plain = await call(server.socket, "POST", "/1.0/k8sd/cluster", { body: order });
    const { status, headers, text } = await call(server.socket, "POST", "/1.0/k8sd/cluster", {
      body: order,
      headers: accept,
    });
    expect([status, headers["content-type"]]).toEqual([200, "text/event-stream"]);
    expect(parse(text)).toEqual([
      { event: "step", data: step(1, "started") },
      { event: "step", data: step(1, "done") },
      { event: "step", data: step(2, "started") },
      { event: "result", data: plain.json },
    ]);
  });

  test("ends with the failure in the contract's words", async () => {
    const bootstrap = () => run([step(1, "failed")], Promise.reject(new AppError("timeout", "cannot start etcd")));
    await using server = await serve(fakeDomain({ bootstrap }));
    const { text } = await call(server.socket, "POST", "/1.0/k8sd/cluster", { body: order, headers: accept });
    expect(parse(text).at(-1)).toEqual({
      event: "result",
      data: expect.objectContaining({
        type: "error",
        error_code: 400,
        error: "failed to bootstrap new cluster: cannot start etcd",
      }),
    });
  });

  test("is refused in plain when the operation does not start", async () => {
    const bootstrap: Domain["bootstrap"] = () => {
      throw new AppError("already-initialised", "x");
    };
    await using server = await serve(fakeDomain({ bootstrap }));
    const { status, json } = await call(server.socket, "POST", "/1.0/k8sd/cluster", { body: order, headers: accept });
    expect([status, json.error]).toEqual([400, "cluster is already bootstrapped"]);
  });

  test("arrives as it happens", async () => {
    const { operation, result, more } = held();
    await using server = await serve(fakeDomain({ bootstrap: () => operation }));
    const response = await open(server.socket);
    let text = "";
    response.on("data", (chunk) => {
      text += chunk;
    });
    await expect.poll(() => parse(text)).toEqual([{ event: "step", data: step(1, "started") }]);
    more.resolve();
    await expect.poll(() => parse(text)).toHaveLength(2);
    result.resolve({ name: "n1" });
    await expect.poll(() => parse(text).at(-1)?.event).toBe("result");
  });

  test("that the caller leaves goes on without him", async () => {
    const { operation, result, more } = held();
    let finished = false;
    const bootstrap = () => operation;
    await using server = await serve(fakeDomain({ bootstrap }));
    const response = await open(server.socket);
    response.destroy();
    more.resolve();
    result.resolve({ name: "n1" });
    await operation.result.then(() => {
      finished = true;
    });
    expect(finished).toBe(true);
    expect((await call(server.socket, "GET", "/")).status).toBe(200);
  });
});

describe("operations", () => {
  const operation = {
    id: "op-1",
    kind: "bootstrap",
    state: "done" as const,
    "request-id": "r",
    "started-at": "2026-01-01T00:00:00Z",
  };
  const operations: Domain["operations"] = {
    list: () => [operation],
    get: (id) => (id === "op-1" ? { operation, events: [step(1, "done")] } : undefined),
    follow: (id) => (id === "op-1" ? run([step(1, "done")], { name: "n1" }) : undefined),
    cancel: () => false,
  };

  test("are listed, shown, followed", async () => {
    await using server = await serve(fakeDomain({ operations }));
    expect((await call(server.socket, "GET", "/1.0/k8sd/operations")).json.metadata).toEqual({
      operations: [operation],
    });
    const path = "/1.0/k8sd/operations/op-1";
    expect((await call(server.socket, "GET", path)).json.metadata).toEqual({ operation, events: [step(1, "done")] });
    const { text } = await call(server.socket, "GET", path, { headers: accept });
    expect(parse(text).map(({ event }) => event)).toEqual(["step", "result"]);
  });

  test("that nobody knows are not found, also as a stream", async () => {
    await using server = await serve(fakeDomain({ operations }));
    for (const headers of [{}, accept]) {
      const { status, json } = await call(server.socket, "GET", "/1.0/k8sd/operations/x", { headers });
      expect([status, json.error]).toEqual([404, expect.stringContaining('cannot find operation "x"')]);
    }
    expect((await call(server.socket, "DELETE", "/1.0/k8sd/operations/x")).status).toBe(404);
  });

  test("that are over cannot be cancelled, others can", async () => {
    let over = true;
    await using server = await serve(fakeDomain({ operations: { ...operations, cancel: () => !over } }));
    const cancel = async () => (await call(server.socket, "DELETE", "/1.0/k8sd/operations/op-1")).status;
    expect(await cancel()).toBe(409);
    over = false;
    expect(await cancel()).toBe(200);
  });
});

function open(socketPath: string): Promise<IncomingMessage> {
  const body = JSON.stringify(order);
  const headers = { ...accept, "content-length": String(body.length) };
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method: "POST", path: "/1.0/k8sd/cluster", headers }, resolve);
    sent.on("error", reject);
    sent.end(body);
  });
}
