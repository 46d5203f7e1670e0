import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { renderKubeconfig, serverUrl } from "../../../src/kube/kubeconfig.ts";
import type { KubeObject } from "../../../src/kube/resources.ts";
import { completePki } from "../../../src/pki/complete.ts";

const pki = completePki(
  {},
  {
    id: "0a1b2c3d-0000-8000-8000-000000000001",
    nodeName: "n1",
    hostName: "n1",
    addresses: ["10.0.0.5"],
    serviceIps: ["10.152.183.1"],
    clusterDomain: "cluster.local",
    extraSans: [],
  },
  {
    role: "control-plane",
    datastore: "managed",
    createAuthorities: true,
    signingKeysOnDisk: false,
    paths: { pki: "/pki", state: "/state" },
    now: new Date(),
  },
);

export interface TestApiServer extends AsyncDisposable {
  readonly kubeconfig: string;
  /** Of each request, in their order. */
  readonly users: readonly string[];
  /** Writes as another client would. */
  put(path: string, object: KubeObject): void;
  remove(path: string): void;
  /** The next requests are answered by this instead. */
  interpose(handler: ((answer: ServerResponse) => void) | undefined): void;
}

/** Behaves towards a client like kube-apiserver: real TLS with client certificates, versions, status objects. */
export async function startApiServer(): Promise<TestApiServer> {
  const objects = new Map<string, KubeObject>();
  const users: string[] = [];
  let revision = 1;
  let interposed: ((answer: ServerResponse) => void) | undefined;

  const collectionOf = (path: string): string => path.slice(0, path.lastIndexOf("/"));

  function put(path: string, object: KubeObject): KubeObject {
    revision++;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
    objects.set(path, stored);
    return stored;
  }

  function send(answer: ServerResponse, code: number, body: unknown): void {
    answer.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(body));
  }

  function status(answer: ServerResponse, code: number, reason: string): void {
    send(answer, code, { kind: "Status", status: "Failure", code, reason, message: `${reason} says the server` });
  }

  async function handle(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? "/", "https://x");
    users.push(String((incoming.socket as TLSSocket).getPeerCertificate().subject.CN));
    const chunks: Buffer[] = [];
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = chunks.length === 0 ? {} : (JSON.parse(Buffer.concat(chunks).toString()) as KubeObject);
    if (interposed !== undefined) return interposed(answer);
    const found = objects.get(url.pathname);
    if (url.pathname === "/readyz") return void answer.end("ok");
    if (incoming.method === "GET" && found === undefined && /s$/.test(url.pathname)) {
      const items = [...objects].filter(([path]) => collectionOf(path) === url.pathname).map(([, object]) => object);
      return send(answer, 200, { kind: "List", metadata: { resourceVersion: String(revision) }, items });
    }
    if (incoming.method === "POST") {
      const path = `${url.pathname}/${body.metadata?.name}`;
      return objects.has(path) ? status(answer, 409, "AlreadyExists") : send(answer, 201, put(path, body));
    }
    if (found === undefined) return status(answer, 404, "NotFound");
    if (incoming.method === "PATCH") return send(answer, 200, put(url.pathname, { ...found, ...body }));
    if (incoming.method === "DELETE") {
      const { preconditions } = body as { preconditions?: { uid?: string } };
      const isOther = preconditions?.uid !== undefined && preconditions.uid !== found.metadata?.uid;
      if (isOther) return status(answer, 409, "Conflict");
      objects.delete(url.pathname);
    }
    return send(answer, 200, found);
  }

  const server = createServer(
    {
      cert: pki.pairs.apiserver?.certificate,
      key: pki.pairs.apiserver?.key,
      ca: pki.cluster["client-ca-crt"],
      requestCert: true,
      rejectUnauthorized: true,
    },
    (incoming, answer) => {
      handle(incoming, answer).catch((error: unknown) => answer.destroy(error instanceof Error ? error : undefined));
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");

  return {
    kubeconfig: renderKubeconfig({
      server: serverUrl("127.0.0.1", (server.address() as AddressInfo).port),
      certificateAuthority: pki.cluster["ca-crt"] ?? "",
      certificate: pki.pairs["admin-client"]?.certificate ?? "",
      key: pki.pairs["admin-client"]?.key ?? "",
    }),
    users,
    put,
    remove: (path) => void objects.delete(path),
    interpose: (handler) => {
      interposed = handler;
    },
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
