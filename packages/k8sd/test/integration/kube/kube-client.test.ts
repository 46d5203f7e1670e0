import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
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
    expect(new Set(api.seen.map((request) => request.user))).toEqual(new Set(["kubernetes-admin"]));
  });

  test("apply says who applies, by force, in the format of apply", async () => {
    const object = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: "default", name: "a b" },
      data: { x: "y" },
    };
    await client.apply(configMaps, object, { signal, fieldManager: "k8sd" });
    const [request] = api.seen;
    expect(request?.method).toBe("PATCH");
    expect(request?.contentType).toBe("application/apply-patch+yaml");
    expect(request?.url.pathname).toBe("/api/v1/namespaces/default/configmaps/a%20b");
    expect(Object.fromEntries(request?.url.searchParams ?? [])).toEqual({ fieldManager: "k8sd", force: "true" });
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
    expect(other.seen).toEqual([]);
  });
});

describe("watch", () => {
  const path = (name: string): string => `/api/v1/nodes/${name}`;
  const node = (name: string, labels: Record<string, string> = {}): object => ({ metadata: { name, labels } });

  /** Follows nodes in the background and keeps what was told: names, or the listed names in brackets. */
  function follow(): { readonly told: string[]; readonly retries: string[]; stop(): Promise<void> } {
    const told: string[] = [];
    const retries: string[] = [];
    const stop = new AbortController();
    const done = (async () => {
      const events = client.watch(nodes, { signal: stop.signal, onRetry: (error) => retries.push(error.kind) });
      for await (const event of events) {
        if (event.type === "listed") told.push(`[${event.items.map((item) => item.metadata?.name).join(" ")}]`);
        else told.push(`${event.type} ${event.object.metadata?.name}`);
      }
    })();
    return {
      told,
      retries,
      stop: () => {
        stop.abort();
        return done;
      },
    };
  }

  test("lists, then tells each change once, across connections that end or break", async () => {
    api.put(path("n1"), node("n1"));
    const watching = follow();
    await expect.poll(() => api.watchCount()).toBe(1);
    api.put(path("n2"), node("n2"));
    await expect.poll(() => watching.told).toHaveLength(2);
    api.endWatches("cleanly");
    api.put(path("n3"), node("n3"));
    await expect.poll(() => watching.told, { timeout: 5000 }).toHaveLength(3);
    api.endWatches("abruptly");
    api.put(path("n1"), node("n1", { a: "b" }));
    api.remove(path("n2"));
    await expect.poll(() => watching.told, { timeout: 5000 }).toHaveLength(5);
    await watching.stop();
    expect(watching.told).toEqual(["[n1]", "added n2", "added n3", "modified n1", "deleted n2"]);
    expect(watching.retries).toEqual(["unavailable"]);
    expect(api.seen.filter((request) => !request.url.searchParams.has("watch"))).toHaveLength(1);
  });

  test("resumes after the last bookmark, and starts over with a list when the server has forgotten", async () => {
    const watching = follow();
    await expect.poll(() => api.watchCount()).toBe(1);
    api.put(path("n1"), node("n1"));
    api.bookmark();
    api.endWatches("cleanly");
    await expect.poll(() => api.seen.length, { timeout: 5000 }).toBe(3);
    expect(api.seen[2]?.url.searchParams.get("resourceVersion")).toBe("3");
    await expect.poll(() => api.watchCount()).toBe(1);
    api.remove(path("n1"));
    api.compact();
    api.endWatches("abruptly");
    await expect.poll(() => watching.told.at(-1), { timeout: 5000 }).toBe("[]");
    await watching.stop();
  });

  test("waits for a server that is away, and gives up where retrying cannot help", async () => {
    api.interpose((answer) => void answer.writeHead(503).end());
    const watching = follow();
    await vi.waitFor(() => expect(watching.retries.length).toBeGreaterThan(0));
    api.interpose(undefined);
    await expect.poll(() => watching.told, { timeout: 5000 }).toEqual(["[]"]);
    await watching.stop();
    api.interpose((answer) => void answer.writeHead(403).end());
    await expect(client.watch(nodes, { signal }).next()).rejects.toMatchObject({ kind: "forbidden" });
  });

  test("leaving the loop closes the connection", async () => {
    api.put(path("n1"), node("n1"));
    for await (const event of client.watch(nodes, { signal })) {
      if (event.type === "listed") api.put(path("n2"), node("n2"));
      else break;
    }
    await expect.poll(() => api.watchCount()).toBe(0);
  });

  test("an event without an end does not fill the memory", async () => {
    const events = client.watch(configMaps, { signal });
    api.interpose((answer) => void answer.writeHead(200).end('{"metadata":{"resourceVersion":"1"}}'));
    expect((await events.next()).value).toEqual({ type: "listed", items: [] });
    api.interpose((answer) => {
      answer.writeHead(200);
      answer.write(Buffer.alloc(9 * 1024 * 1024, "x"));
    });
    await expect(events.next()).rejects.toMatchObject({ kind: "internal" });
  });
});
