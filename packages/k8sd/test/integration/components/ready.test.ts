import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createHttp2Server, createSecureServer, type ServerHttp2Stream } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type ListenOptions, type Server } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleepFor } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { NodeView } from "../../../src/components/component.ts";
import { containerd } from "../../../src/components/containerd.ts";
import { k8sApiserverProxy } from "../../../src/components/k8s-apiserver-proxy.ts";
import { k8sDatastore } from "../../../src/components/k8s-datastore.ts";
import { kubeApiserver } from "../../../src/components/kube-apiserver.ts";
import { kubeControllerManager } from "../../../src/components/kube-controller-manager.ts";
import { kubeProxy } from "../../../src/components/kube-proxy.ts";
import { kubelet } from "../../../src/components/kubelet.ts";
import { healthy } from "../../../src/components/probe.ts";
import { renderKubeconfig } from "../../../src/kube/kubeconfig.ts";
import { completePki } from "../../../src/pki/complete.ts";
import { type TemporaryNode, temporaryNode } from "./support.ts";

let node: TemporaryNode;
let cleanup: AsyncDisposableStack;
const signal = AbortSignal.timeout(30_000);

beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  node = cleanup.use(await temporaryNode());
});
afterEach(() => cleanup.disposeAsync());

async function listen(server: Server, where: ListenOptions = { port: 0, host: "127.0.0.1" }): Promise<number> {
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(where, resolve));
  cleanup.defer(() => void server.close());
  return (server.address() as AddressInfo).port ?? 0;
}

/** Writes the certificates of a control plane where its components look for them. */
async function withPki(view: NodeView) {
  const pki = completePki(
    {},
    {
      id: "0a1b2c3d-0000-8000-8000-000000000001",
      nodeName: "n1",
      hostName: "n1",
      addresses: ["10.0.0.1"],
      serviceIps: ["10.152.183.1"],
      clusterDomain: "c",
      extraSans: [],
    },
    {
      role: "control-plane",
      datastore: "managed",
      createAuthorities: true,
      signingKeysOnDisk: true,
      paths: { pki: view.paths.pki, state: view.paths.state },
      now: new Date(),
    },
  );
  const admin = pki.kubeconfigs.find(({ file }) => file === "admin.conf");
  if (admin === undefined) throw new Error("no admin.conf");
  const kubeconfig = renderKubeconfig({ server: "https://127.0.0.1:1", ...admin });
  const files = [...pki.files, { path: view.paths.kubeconfig.admin, content: kubeconfig }];
  for (const { path, content } of files) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
  const content = (path: string) => String(files.find((file) => file.path === path)?.content);
  return {
    content,
    pair: (name: string) => ({
      cert: content(join(view.paths.pki, `${name}.crt`)),
      key: content(join(view.paths.pki, `${name}.key`)),
    }),
  };
}

/** Answers a unary gRPC call with an empty message and this status. */
function answer(stream: ServerHttp2Stream, status: number, message = ""): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status, "grpc-message": message }));
  stream.end(Buffer.alloc(status === 0 ? 5 : 0));
}

describe("kube-apiserver is ready", () => {
  test("when /readyz, asked as admin over verified TLS, says so", async () => {
    const { pair, content } = await withPki(node.view());
    const asked: string[] = [];
    const tls = { ...pair("apiserver"), ca: content(join(node.view().paths.pki, "client-ca.crt")), requestCert: true };
    const server = createHttpsServer({ ...tls, rejectUnauthorized: true }, (request, response) => {
      asked.push(`${request.url}`);
      response.statusCode = asked.length < 3 ? 500 : 200;
      response.end("[-]etcd failed\n");
    });
    const securePort = await listen(server);
    await kubeApiserver.ready(node.view({ securePort }), signal);
    expect(asked).toEqual(["/readyz?verbose", "/readyz?verbose", "/readyz?verbose"]);
  });

  test("never by the word of a server with another certificate", async () => {
    await withPki(node.view());
    const other = await temporaryNode();
    cleanup.use(other);
    const { pair } = await withPki(other.view());
    const securePort = await listen(createHttpsServer(pair("apiserver"), (_request, response) => response.end("ok")));
    const give = AbortSignal.timeout(500);
    await expect(kubeApiserver.ready(node.view({ securePort }), give)).rejects.toThrow();
  });
});

describe("a program with a health endpoint is ready when it answers 200", () => {
  const ok = () =>
    createServer((request, response) => response.writeHead(request.url === "/healthz" ? 200 : 404).end("ok"));

  test("kubelet, on a port the user moved", async () => {
    const port = await listen(ok());
    await kubelet.ready(node.view({ extraArgs: { kubelet: { "--healthz-port": String(port) } } }), signal);
  });

  test("kubelet with its endpoint switched off is not waited for", async () => {
    await kubelet.ready(node.view({ extraArgs: { kubelet: { "--healthz-port": "0" } } }), signal);
  });

  test("kube-proxy, on an address the user moved", async () => {
    const port = await listen(ok());
    await kubeProxy.ready(
      node.view({ extraArgs: { "kube-proxy": { "--healthz-bind-address": `0.0.0.0:${port}` } } }),
      signal,
    );
  });

  test("kube-controller-manager, with a certificate it made itself", async () => {
    const { pair } = await withPki(node.view());
    const port = await listen(createHttpsServer(pair("kubelet"), (_request, response) => response.end("ok")));
    const extraArgs = { "kube-controller-manager": { "--secure-port": String(port) } };
    await kubeControllerManager.ready(node.view({ extraArgs }), signal);
  });

  test("and its failing checks are in the error", async () => {
    const server = createServer((_request, response) =>
      response.writeHead(500).end("[+]ping ok\n[-]etcd failed\nhealthz check failed\n"),
    );
    const url = `http://127.0.0.1:${await listen(server)}/healthz`;
    await expect(healthy({ url, signal })).rejects.toThrow(`${url} answered 500: [-]etcd failed`);
  });

  test("and an endless answer ends the question", async () => {
    const server = createServer((_request, response) => response.end("x".repeat(200_000)));
    const url = `http://127.0.0.1:${await listen(server)}/healthz`;
    await expect(healthy({ url, signal })).rejects.toThrow("too long");
  });
});

describe("containerd", () => {
  async function serve(status: number): Promise<NodeView> {
    const view = node.view();
    const { socket } = view.paths.containerd;
    await mkdir(dirname(socket), { recursive: true });
    const server = createHttp2Server();
    server.on("stream", (stream, headers) => {
      answer(stream, headers[":path"] === "/runtime.v1.RuntimeService/Version" ? status : 2, "unknown service");
    });
    await listen(server, { path: socket });
    return view;
  }

  test("is ready when its runtime interface answers", async () => {
    await containerd.ready(await serve(0), signal);
  });

  test("without its runtime interface will never be ready, and says so at once", async () => {
    await expect(containerd.ready(await serve(12), signal)).rejects.toMatchObject({
      kind: "unavailable",
      message: "cannot use containerd: it runs without its runtime interface",
      remedy: expect.stringContaining("extra-node-containerd-config"),
    });
  });

  test("that comes later is waited for", async () => {
    const ready = containerd.ready(node.view(), signal);
    await serve(0);
    await ready;
  });
});

describe("the datastore is ready when it gives its status to k8sd's certificate", () => {
  test("over TLS with client certificates", async () => {
    const view = node.view();
    const { content } = await withPki(view);
    const tls = {
      cert: content(join(view.paths.etcdPki, "server.crt")),
      key: content(join(view.paths.etcdPki, "server.key")),
      ca: content(join(view.paths.etcdPki, "ca.crt")),
    };
    const asked: unknown[] = [];
    const server = createSecureServer({ ...tls, requestCert: true, rejectUnauthorized: true });
    server.on("stream", (stream, headers) => {
      asked.push(headers[":path"]);
      answer(stream, asked.length === 1 ? 14 : 0);
    });
    const clientPort = await listen(server);
    const datastore = { engine: "sqlite", endpoints: [], clientPort } as const;
    await k8sDatastore.ready(node.view({ datastore }), signal);
    expect(asked).toEqual(["/etcdserverpb.Maintenance/Status", "/etcdserverpb.Maintenance/Status"]);
  });
});

describe("k8s-apiserver-proxy is ready when an API server shows its certificate through it", () => {
  const ended = { message: expect.stringContaining("cancelled by the test") };

  test("on the port a user moved it to, with no right on the API server", async () => {
    const { pair } = await withPki(node.view());
    const server = createHttpsServer(pair("apiserver"));
    const port = await listen(server);
    const view = node.view({
      role: "worker",
      extraArgs: { "k8s-apiserver-proxy": { "--listen": `127.0.0.1:${port}` } },
    });
    await k8sApiserverProxy.ready(view, signal);
  });

  test("not when the connection ends, nor by a certificate of another authority", async () => {
    const refusing = await listen(createTcpServer((socket) => socket.destroy()));
    const { pair } = await withPki(node.view());
    const foreign = await listen(createHttpsServer(pair("apiserver")));
    // The same names signed by other authorities.
    await withPki(node.view());
    for (const securePort of [refusing, foreign]) {
      const stop = new AbortController();
      const waiting = k8sApiserverProxy.ready(node.view({ role: "worker", securePort }), stop.signal);
      const outcome = Promise.race([waiting.then(() => "ready"), sleepFor(700, "waiting")]);
      await expect(outcome).resolves.toBe("waiting");
      stop.abort(new Error("cancelled by the test"));
      await expect(waiting).rejects.toMatchObject(ended);
    }
  });
});

test("a wait ends with the caller's signal", async () => {
  const stop = new AbortController();
  const ready = containerd.ready(node.view(), stop.signal);
  stop.abort(new Error("cancelled by the user"));
  await expect(ready).rejects.toThrow("cancelled by the user");
});
