import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { type ChannelCredentials, Client, type ClientDuplexStream, credentials, Metadata } from "@grpc/grpc-js";
import { AppError, errorCode } from "../lib/app-error.ts";
import { toAppError } from "./client-errors.ts";
import type { CallOptions } from "./datastore.ts";
import type { MessageFns } from "./gen/etcd.ts";
import { grpcStatus } from "./wire.ts";

export interface ClientTls {
  /** PEM text; absent: the authorities that Node.js trusts. */
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  /** A DNS name of the servers' certificates, because an address cannot be a TLS server name. Default: localhost. */
  readonly serverName?: string;
}

export interface EtcdClientOptions {
  /** https://HOST:PORT, http://HOST:PORT or unix:///path. */
  readonly endpoints: readonly string[];
  /** Further ones, asked for when those do not answer; the first of `endpoints` is gone back to. */
  readonly others?: () => readonly string[];
  readonly tls?: ClientTls;
  /** For calls that name none. Default 5 s: what kube-apiserver waits for its datastore's health. */
  readonly timeoutMs?: number;
}

/** Calls over whichever endpoint answers. */
export interface Channel {
  unary<Q, A>(
    action: string,
    path: string,
    request: MessageFns<Q>,
    answer: MessageFns<A>,
    message: Q,
    o?: CallOptions,
  ): Promise<A>;
  duplex<Q, A>(path: string, request: MessageFns<Q>, answer: MessageFns<A>): ClientDuplexStream<Q, A>;
  close(): void;
}

const defaultTimeoutMs = 5_000;
/** What is nearest is tried again this long after it did not answer. */
const awayMs = 10_000;

/** Quick to come back: the datastore is on this machine or one hop away, and its restart takes well under a second. */
const channelOptions = {
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.min_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  // What the environment names is for downloads.
  "grpc.enable_http_proxy": 0,
};

const encoder =
  <T>(fns: MessageFns<T>) =>
  (message: T): Buffer => {
    const bytes = fns.encode(message).finish();
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };

export function openChannel(options: EtcdClientOptions): Channel {
  if (options.endpoints.length === 0) {
    throw new AppError("invalid", "cannot reach the datastore: no endpoints", { field: "endpoints" });
  }
  const clients = new Map<string, Client>();
  const [home = ""] = options.endpoints;
  let preferred = home;
  let movedAt = 0;
  let closed = false;
  const all = (): readonly string[] => [...new Set([...options.endpoints, ...(options.others?.() ?? [])])];

  function current(): Client {
    if (performance.now() - movedAt > awayMs || !all().includes(preferred)) preferred = home;
    const known = clients.get(preferred);
    if (known !== undefined) return known;
    const client = connect(preferred, options.tls);
    clients.set(preferred, client);
    return client;
  }

  function moveOn(from: Client): void {
    if (current() !== from) return;
    const endpoints = all();
    preferred = endpoints[(endpoints.indexOf(preferred) + 1) % endpoints.length] ?? home;
    movedAt = performance.now();
  }

  function once<Q, A>(
    client: Client,
    path: string,
    request: MessageFns<Q>,
    answer: MessageFns<A>,
    message: Q,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<A> {
    return new Promise<A>((resolve, reject) => {
      const decode = (bytes: Buffer): A => answer.decode(bytes);
      const call = client.makeUnaryRequest(
        path,
        encoder(request),
        decode,
        message,
        new Metadata(),
        { deadline },
        (error, value) => {
          signal?.removeEventListener("abort", cancel);
          if (error || value === undefined) reject(error ?? new Error("empty answer"));
          else resolve(value);
        },
      );
      const cancel = () => call.cancel();
      signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  return {
    async unary(action, path, request, answer, message, call = {}) {
      call.signal?.throwIfAborted();
      const deadline = Date.now() + (call.timeoutMs ?? options.timeoutMs ?? defaultTimeoutMs);
      for (let tried = 1; ; tried++) {
        const client = current();
        try {
          return await once(client, path, request, answer, message, deadline, call.signal);
        } catch (error) {
          if (closed && !call.signal?.aborted) throw closedError(action, error);
          const refused = isUnavailable(error);
          if (refused || isLate(error)) moveOn(client);
          // Another endpoint gets a try only where the first cannot have acted: it was never reached.
          if (!(refused && neverSent(error) && tried < all().length)) throw toAppError(action, error);
        }
      }
    },
    duplex(path, request, answer) {
      const client = current();
      const decode = (bytes: Buffer) => answer.decode(bytes);
      const stream = client.makeBidiStreamRequest(path, encoder(request), decode, new Metadata());
      stream.on("error", (error) => {
        if (isUnavailable(error)) moveOn(client);
      });
      return stream;
    },
    close() {
      closed = true;
      for (const client of clients.values()) client.close();
    },
  };
}

function connect(endpoint: string, tls: ClientTls | undefined): Client {
  if (endpoint.startsWith("unix://")) {
    return new Client(endpoint.replace(/^unix:\/\//, "unix:"), credentials.createInsecure(), channelOptions);
  }
  if (!URL.canParse(endpoint)) {
    throw new AppError("invalid", `cannot reach the datastore: ${endpoint} is no URL`, { field: "endpoints" });
  }
  const { protocol, host, hostname } = new URL(endpoint);
  if (protocol === "http:") return new Client(host, credentials.createInsecure(), channelOptions);
  const name = hostname.replace(/^\[|\]$/g, "");
  const serverName = tls?.serverName ?? (isIP(name) ? "localhost" : name);
  return new Client(host, secure(tls), { ...channelOptions, "grpc.ssl_target_name_override": serverName });
}

function secure(tls: ClientTls | undefined): ChannelCredentials {
  if (!tls) return credentials.createSsl();
  const pem = (text: string | Buffer | undefined) => (text === undefined ? null : Buffer.from(text));
  return credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert));
}

/** Reads the files of a client certificate, once; a new certificate needs a new client. */
export function readClientTls(files: { ca: string; cert: string; key: string; serverName?: string }): ClientTls {
  return {
    ca: readFileSync(files.ca),
    cert: readFileSync(files.cert),
    key: readFileSync(files.key),
    ...(files.serverName === undefined ? {} : { serverName: files.serverName }),
  };
}

/** Whoever asks again gets another connection: the datastore is moving, or its certificate is new. */
function closedError(action: string, cause: unknown): AppError {
  return new AppError("unavailable", `cannot ${action} the datastore: the connection is closed on this side`, {
    remedy: "try again",
    cause,
  });
}

function isUnavailable(error: unknown): boolean {
  return errorCode(error) === grpcStatus.unavailable;
}

/** Nobody says whether it hangs or is only slow; the next call finds out elsewhere. */
function isLate(error: unknown): boolean {
  return errorCode(error) === grpcStatus.deadlineExceeded;
}

function neverSent(error: unknown): boolean {
  return (
    error instanceof Error && /No connection established|ECONNREFUSED|ENOENT|ENOTFOUND|EHOSTUNREACH/.test(error.message)
  );
}
