import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createKubeClient, type KubeClient } from "../../../src/kube/kube-client.ts";
import { parseKubeconfig, renderKubeconfig } from "../../../src/kube/kubeconfig.ts";
import { configMaps, nodes } from "../../../src/kube/resources.ts";
import { startApiServer, type TestApiServer } from "./api-server.ts";

let api: TestApiServer;
let client: KubeClient;
const signal = new AbortController().signal;

beforeEach(async () => {
  api = await startApiServer();
  client = createKubeClient(api.kubeconfig);
});
afterEach(async () => {
  client[Symbol.dispose]();
  await api[Symbol.asyncDispose]();
});

describe("calls", () => {
  test("create, read, list, change and delete an object, as the user of the kubeconfig", async () => {
    const ref = { namespace: "kube-system", name: "k8sd-config" };
    const made = await client.create(configMaps, { metadata: ref, data: { a: "1" } }, { signal });
    expect(made.metadata?.resourceVersion).toBeDefined();
    await client.patch(configMaps, ref, { data: { a: "2" } }, { signal });
    expect((await client.get(configMaps, ref, { signal })).data).toEqual({ a: "2" });
    expect((await client.list(configMaps, { namespace: "kube-system", signal })).items).toHaveLength(1);
    expect(await client.delete(configMaps, ref, { signal })).toBe(true);
    expect(await client.delete(configMaps, ref, { signal })).toBe(false);
    expect(new Set(api.users)).toEqual(new Set(["kubernetes-admin"]));
  });

  test("raw reads plain text", async () => {
    expect(await client.raw("/readyz", { signal })).toBe("ok");
  });

  test("errors carry the kind, the object and Kubernetes' reason", async () => {
    await expect(client.get(nodes, { name: "n9" }, { signal })).rejects.toMatchObject({
      kind: "not-found",
      message: "cannot read nodes/n9: NotFound says the server",
      details: { reason: "NotFound", code: 404 },
    });
    await client.create(nodes, { metadata: { name: "n1" } }, { signal });
    await expect(client.create(nodes, { metadata: { name: "n1" } }, { signal })).rejects.toMatchObject({
      kind: "conflict",
      details: { reason: "AlreadyExists" },
    });
  });

  test.each([
    [403, "forbidden", false],
    [401, "unauthorized", false],
    [422, "invalid", false],
    [429, "unavailable", true],
    [503, "unavailable", true],
    [500, "unavailable", true],
  ] as const)("an answer of %i without a status object is %s", async (code, kind, retryable) => {
    api.interpose((answer) => void answer.writeHead(code).end("no json"));
    await expect(client.list(nodes, { signal })).rejects.toMatchObject({ kind, retryable });
  });

  test("a server that does not answer, does not finish, or is gone is told apart from a cancelled call", async () => {
    api.interpose(() => undefined);
    await expect(client.list(nodes, { signal, deadlineMs: 50 })).rejects.toMatchObject({ kind: "timeout" });
    api.interpose((answer) => void answer.writeHead(200).write('{"items": ['));
    await expect(client.list(nodes, { signal, deadlineMs: 50 })).rejects.toMatchObject({ kind: "timeout" });
    const caller = new AbortController();
    const pending = client.list(nodes, { signal: caller.signal });
    caller.abort();
    await expect(pending).rejects.toMatchObject({ kind: "cancelled" });
    await api[Symbol.asyncDispose]();
    await expect(client.list(nodes, { signal })).rejects.toMatchObject({ kind: "unavailable", retryable: true });
    api = await startApiServer();
  });

  test("a kept connection that the server closes just then is forgiven for reading, never for writing", async () => {
    const closeOnce = (): void =>
      api.interpose((answer) => {
        api.interpose(undefined);
        answer.destroy();
      });
    await client.list(nodes, { signal });
    closeOnce();
    expect((await client.list(nodes, { signal })).items).toEqual([]);
    closeOnce();
    await expect(client.create(nodes, { metadata: { name: "n1" } }, { signal })).rejects.toMatchObject({
      kind: "unavailable",
    });
  });

  test("an answer that is no JSON is an error, not an object", async () => {
    api.interpose((answer) => void answer.writeHead(200).end("<html>"));
    await expect(client.get(nodes, { name: "n1" }, { signal })).rejects.toMatchObject({ kind: "internal" });
  });

  test("a server of another authority is not talked to", async () => {
    await using other = await startApiServer();
    const mixed = { ...parseKubeconfig(api.kubeconfig), server: parseKubeconfig(other.kubeconfig).server };
    // Same program, so the same authority: trust a leaf instead, which signed nothing.
    using wary = createKubeClient(renderKubeconfig({ ...mixed, certificateAuthority: mixed.certificate }));
    await expect(wary.list(nodes, { signal })).rejects.toMatchObject({ kind: "unavailable" });
    expect(other.users).toEqual([]);
  });
});
