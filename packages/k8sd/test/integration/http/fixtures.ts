import { createHash, X509Certificate } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { type IncomingHttpHeaders, type RequestOptions, request as requestHttp } from "node:http";
import { type Agent, request as requestHttps } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TLSSocket } from "node:tls";
import type { ClusterStatus, Envelope, OperationEvent } from "@k8sd/api-types";
import { pino } from "pino";
import { createHttpApp } from "../../../src/http/app.ts";
import type { Domain, OperationRun } from "../../../src/http/domain.ts";
import { type Listener, listenTls, listenUnix, type TlsKeyPair } from "../../../src/http/listeners.ts";
import { routes, unimplemented } from "../../../src/http/routes.ts";
import { selfSign } from "../../../src/pki/certificate.ts";
import { generateKey, keyFingerprint, privateKeyPem } from "../../../src/pki/keys.ts";

export const sha256 = (text: string | Uint8Array) => createHash("sha256").update(text).digest();
export const fingerprint = (pem: string) => sha256(new X509Certificate(pem).raw).toString("hex");
export const keyOf = (pem: string) => keyFingerprint(new X509Certificate(pem).publicKey);

export function keyPair(commonName: string, now = new Date()): TlsKeyPair {
  const key = generateKey();
  const names = { dns: [commonName], ip: ["127.0.0.1"] };
  const template = {
    subject: { commonName },
    names,
    usages: ["server", "client"] as const,
    lifetimeMs: 86_400_000,
    now,
  };
  return { cert: selfSign(template, key), key: privateKeyPem(key) };
}

const featureStatus = { enabled: false, message: "", version: "", "updated-at": "0001-01-01T00:00:00Z" };
export const clusterStatus: ClusterStatus = {
  ready: true,
  members: [{ name: "n1", address: "10.0.0.1:6400", "cluster-role": "control-plane", "datastore-role": "voter" }],
  config: {},
  datastore: { type: "sqlite" },
  dns: featureStatus,
  network: featureStatus,
  "load-balancer": featureStatus,
  ingress: featureStatus,
  gateway: featureStatus,
  "metrics-server": featureStatus,
  "local-storage": featureStatus,
};

/** A domain that answers at once; a test replaces what it is about. */
export function fakeDomain(change: Partial<Domain> = {}): Domain {
  return {
    databaseStatus: () => "Database is online",
    ready: () => true,
    workerKeys: () => new Set(),
    identity: () => ({ name: "n1", address: "" }),
    isWorker: () => false,
    trustedKeys: () => new Set(),
    isMember: () => false,
    headerTokenHash: async (header) => sha256(`${header}-secret`),
    clusterStatus: async () => clusterStatus,
    localNode: async () => ({ status: { name: "n1", "cluster-role": "control-plane" }, taints: [""] }),
    mesh: async () => ({ running: false, replica: { epoch: 0, revision: 0 }, peers: [] }),
    bootstrap: () => run([], { name: "n1", address: "10.0.0.1:6400" }),
    kubeconfig: async (server) => `server: ${server}`,
    clusterConfig: async () => ({ status: {}, datastore: { type: "sqlite" } }),
    setCapiAuthToken: async () => {},
    authTokens: {
      create: async ({ username }) => `token::${username}`,
      revoke: async () => {},
      check: async (token) => (token === "good" ? { username: "ann", groups: ["dev"] } : undefined),
    },
    join: () => run([], {}),
    deadMembers: () => ({ members: [] }),
    removeNode: () => run([], {}),
    leave: () => run([], {}),
    members: {
      list: async () => ({ members: [], "api-servers": [] }),
      prepare: async () => ({ ready: true, events: [] }),
      reserve: async ({ name }, { key = "" }) => ({
        id: `${name}:${key}`,
        cluster: { id: "c1", epoch: 1 },
        incarnation: 1,
        config: {},
        "pod-cidrs": [],
        members: [],
        "api-servers": [],
        pki: {},
        now: 0,
      }),
      advance: async () => {},
      standing: async () => ({ state: "unknown", epoch: 1, incarnation: 0 }),
    },
    address: {
      setAddress: () => run([], { name: "n1", address: "10.0.0.1:6400", addresses: ["10.0.0.1"], peers: {} }),
    },
    moves: { move: async () => ({ pki: {} }), moved: async () => {} },
    recovery: {
      epoch: () => ({ id: "id", name: "n1", cluster: { id: "c1", epoch: 1 }, rejoining: false }),
      copy: async () => {
        throw new Error("no test asks for it");
      },
      plan: async () => {
        throw new Error("no test asks for it");
      },
      recover: () => run([], { epoch: 2, backup: "", rejoin: [] }),
    },
    snapshots: {
      createKey: async () => ({ key: "k", id: "0" }),
      list: async ({ directory }) => ({ directory, snapshots: [] }),
      save: ({ directory }) => run([], { name: "s", path: `${directory}/s`, bytes: 1 }),
      fetch: ({ name, directory }) => run([], { name, path: `${directory}/${name}`, bytes: 1 }),
      store: async () => ({}),
      setStore: async () => {},
      schedule: async () => ({}),
      setSchedule: async () => {},
      planRestore: async () => {
        throw new Error("no test asks for it");
      },
      restore: ({ name }) => run([], { node: name, epoch: 2 }),
    },
    joinTokens: {
      create: async ({ role, name }) => `${role}:${name}`,
      list: async () => [],
      revoke: async () => {},
    },
    sealKey: {
      rotate: async () => ({ id: "a", "waiting-for": [] }),
      keysFor: async () => ({ keys: [] }),
    },
    migration: {
      report: async () => ({ engine: "sqlite", endpoints: [], alarms: [], members: [] }),
      metrics: async () => "k8sd_datastore_up 1\n",
      migrate: ({ to }) => run([], { from: "sqlite", to }),
    },
    operations: { list: () => [], get: () => undefined, follow: () => undefined, cancel: () => false },
    ...change,
  };
}

export function run<R>(events: OperationEvent[], result: R | Promise<R>): OperationRun<R> {
  return {
    id: "op-1",
    result: Promise.resolve(result),
    events: (async function* () {
      yield* events;
    })(),
  };
}

export interface Server extends AsyncDisposable {
  readonly socket: string;
  readonly tls: Listener & { reload(pair: TlsKeyPair): void };
  readonly closing: AbortController;
}

/** The whole API on a real socket and a real TLS port. */
export async function serve(domain: Domain, o: { pair?: TlsKeyPair; requestTimeoutMs?: number } = {}): Promise<Server> {
  const directory = await mkdtemp(join(tmpdir(), "http-"));
  const closing = new AbortController();
  const options = o.requestTimeoutMs === undefined ? {} : { requestTimeoutMs: o.requestTimeoutMs };
  const app = createHttpApp(options, {
    rows: routes,
    unimplemented,
    domain,
    log: pino({ level: "silent" }),
    closing: closing.signal,
    now: Date.now,
  });
  const unix = await listenUnix({ path: join(directory, "control.socket") }, app.listener("unix"));
  const tls = await listenTls({ host: "127.0.0.1", port: 0, ...(o.pair ?? keyPair("n1")) }, app.listener("tls"));
  return {
    socket: unix.address,
    tls,
    closing,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([unix.close(0), tls.close(0)]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Whether the TLS session of an earlier connection was taken up. */
  readonly resumed: boolean;
  readonly text: string;
  /** The text as an envelope; an empty one of a text that is none. */
  readonly json: Envelope;
}

export interface Call {
  readonly body?: string | object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly client?: TlsKeyPair;
  readonly agent?: Agent;
}

/** One request over the unix socket (a path) or TLS (an `ip:port`). */
export function call(to: string, method: string, path: string, o: Call = {}): Promise<Answer> {
  const [host, port] = to.split(":");
  const where: RequestOptions = to.startsWith("/") ? { socketPath: to } : { host, port };
  const secure = to.startsWith("/") ? undefined : { rejectUnauthorized: false, ...o.client };
  const body = o.body === undefined ? "" : typeof o.body === "string" ? o.body : JSON.stringify(o.body);
  const headers = { ...(body === "" ? {} : { "content-length": String(Buffer.byteLength(body)) }), ...o.headers };
  const options = { ...where, ...secure, method, path, headers, agent: o.agent ?? (false as const) };
  return new Promise((resolve, reject) => {
    const request = (secure === undefined ? requestHttp : requestHttps)(options, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => {
        const resumed = response.socket instanceof TLSSocket && response.socket.isSessionReused();
        const answer = { resumed, status: response.statusCode ?? 0, headers: response.headers, text };
        resolve({
          ...answer,
          get json() {
            const isJson = response.headers["content-type"] === "application/json";
            return JSON.parse(isJson ? text : "{}") as Envelope;
          },
        });
      });
    });
    request.on("error", reject);
    request.end(body);
  });
}
