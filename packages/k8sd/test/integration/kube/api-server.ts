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

interface Change {
  readonly revision: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: KubeObject;
}

export interface SeenRequest {
  readonly method: string;
  readonly url: URL;
  readonly user: string;
  readonly contentType: string | undefined;
}

export interface TestApiServer extends AsyncDisposable {
  readonly kubeconfig: string;
  readonly seen: readonly SeenRequest[];
  /** Writes as another client would. */
  put(path: string, object: KubeObject): void;
  remove(path: string): void;
  bookmark(): void;
  /** Ends the answers of all watches; "abruptly" in the middle of an event. */
  endWatches(how: "cleanly" | "abruptly"): void;
  /** Forgets what happened so far: watches from before get 410. */
  compact(): void;
  /** The next requests are answered by this instead. */
  interpose(handler: ((answer: ServerResponse) => void) | undefined): void;
  watchCount(): number;
}

/** Behaves towards a client like kube-apiserver: real TLS with client certificates, versions, watches, status objects. */
export async function startApiServer(): Promise<TestApiServer> {
  const objects = new Map<string, KubeObject>();
  const history: Change[] = [];
  const seen: SeenRequest[] = [];
  const watches = new Map<ServerResponse, string>();
  let revision = 1;
  let oldest = 0;
  let interposed: ((answer: ServerResponse) => void) | undefined;

  const collectionOf = (path: string): string => path.slice(0, path.lastIndexOf("/"));
  const line = (type: string, object: unknown): string => `${JSON.stringify({ type, object })}\n`;

  function record(path: string, type: Change["type"], object: KubeObject): KubeObject {
    revision++;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
    if (type === "DELETED") objects.delete(path);
    else objects.set(path, stored);
    history.push({ revision, type, object: stored });
    for (const [answer, collection] of watches) if (collection === collectionOf(path)) answer.write(line(type, stored));
    return stored;
  }

  const put = (path: string, object: KubeObject): KubeObject =>
    record(path, objects.has(path) ? "MODIFIED" : "ADDED", object);

  function send(answer: ServerResponse, code: number, body: unknown): void {
    answer.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(body));
  }

  function status(answer: ServerResponse, code: number, reason: string): void {
    send(answer, code, { kind: "Status", status: "Failure", code, reason, message: `${reason} says the server` });
  }

  function watch(answer: ServerResponse, url: URL): void {
    const from = Number(url.searchParams.get("resourceVersion"));
    answer.writeHead(200, { "content-type": "application/json" });
    answer.flushHeaders();
    if (from < oldest) {
      answer.end(line("ERROR", { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" }));
      return;
    }
    for (const change of history) if (change.revision > from) answer.write(line(change.type, change.object));
    watches.set(answer, url.pathname);
    answer.once("close", () => watches.delete(answer));
  }

  async function handle(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? "/", "https://x");
    const user = String((incoming.socket as TLSSocket).getPeerCertificate().subject.CN);
    seen.push({ method: incoming.method ?? "", url, user, contentType: incoming.headers["content-type"] });
    const chunks: Buffer[] = [];
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = chunks.length === 0 ? {} : (JSON.parse(Buffer.concat(chunks).toString()) as KubeObject);
    if (interposed !== undefined) return interposed(answer);
    const found = objects.get(url.pathname);
    if (url.searchParams.get("watch") === "true") return watch(answer, url);
    if (url.pathname === "/readyz") return void answer.end("ok");
    if (incoming.method === "GET" && found === undefined && /s$/.test(url.pathname)) {
      const items = [...objects].filter(([path]) => collectionOf(path) === url.pathname).map(([, object]) => object);
      return send(answer, 200, { kind: "List", metadata: { resourceVersion: String(revision) }, items });
    }
    if (incoming.method === "POST") {
      const path = `${url.pathname}/${body.metadata?.name}`;
      return objects.has(path) ? status(answer, 409, "AlreadyExists") : send(answer, 201, put(path, body));
    }
    const applies = incoming.headers["content-type"] === "application/apply-patch+yaml";
    if (found === undefined && !applies) return status(answer, 404, "NotFound");
    if (incoming.method === "PATCH") return send(answer, 200, put(url.pathname, { ...found, ...body }));
    if (incoming.method === "DELETE" && found !== undefined) {
      const { preconditions } = body as { preconditions?: { uid?: string } };
      const isOther = preconditions?.uid !== undefined && preconditions.uid !== found.metadata?.uid;
      return isOther ? status(answer, 409, "Conflict") : send(answer, 200, record(url.pathname, "DELETED", found));
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
    seen,
    put,
    remove: (path) => void record(path, "DELETED", objects.get(path) ?? {}),
    bookmark: () => {
      revision++;
      const object = { metadata: { resourceVersion: String(revision) } };
      for (const answer of watches.keys()) answer.write(line("BOOKMARK", object));
    },
    endWatches: (how) => {
      const ended = [...watches.keys()];
      watches.clear();
      for (const answer of ended) {
        if (how === "cleanly") answer.end();
        else answer.write('{"type":"MODIFIED","object":{"meta', () => answer.destroy());
      }
    },
    compact: () => {
      history.length = 0;
      oldest = revision + 1;
      revision++;
    },
    interpose: (handler) => {
      interposed = handler;
    },
    watchCount: () => watches.size,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
