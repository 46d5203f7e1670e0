import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from "node:http2";
import type { ListenOptions, ServerOpts as NetServerOptions } from "node:net";
import type { Logger } from "pino";
import { AppError } from "../../lib/app-error.ts";
import { grpcStatus } from "../wire.ts";
import { EtcdError, etcdErrors } from "./etcd-error.ts";
import { createFrameReader, type MessageEncoder, messageFrame } from "./grpc-frames.ts";

/** A call with one request and one answer. */
export interface UnaryMethod {
  readonly kind: "unary";
  readonly serve: (message: Uint8Array) => Promise<MessageEncoder> | MessageEncoder;
}

/** A call that stays open. */
export interface StreamMethod {
  readonly kind: "stream";
  readonly serve: (call: StreamCall) => StreamHandler;
}

export interface StreamCall {
  /** False: the peer does not take what was sent before; wait for `drained`. */
  send(message: MessageEncoder): boolean;
  end(error?: unknown): void;
}

export interface StreamHandler {
  message(message: Uint8Array): void;
  /** The peer will send no more. */
  ended(): void;
  drained(): void;
  /** The call is over, whoever ended it. */
  closed(): void;
}

export type Method = UnaryMethod | StreamMethod;

export interface TlsFiles {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  readonly ca: string | Buffer | undefined;
  readonly requireClientCertificate: boolean;
}

export interface GrpcServer {
  listen(where: ListenOptions, tls: TlsFiles | undefined): Promise<{ readonly port: number }>;
  stop(): Promise<void>;
}

export interface GrpcServerOptions {
  readonly methods: ReadonlyMap<string, Method>;
  /** Larger messages are refused before they are kept. */
  readonly maxMessageBytes: number;
}

/** Requests in flight on one connection; kube-apiserver opens few connections and sends much on each. */
const maxConcurrentStreams = 10_000;
/** Room for one largest request without a round trip. */
const windowBytes = 2 * 1024 * 1024;
/** What peers get to finish their calls at a stop: a write in progress takes a few milliseconds, and clients try again. */
const drainMs = 500;

const http2Options: ServerOptions & NetServerOptions = {
  // A peer that vanished without a word is found by probes of the connection.
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
  settings: { maxConcurrentStreams, initialWindowSize: windowBytes },
  // Node refuses streams beyond this many megabytes per session; long lists to a slow reader need room.
  maxSessionMemory: 256,
  // Peers are authenticated and cancel many calls at once when they stop; Node's default would end their connection.
  streamResetBurst: 100_000,
  streamResetRate: 10_000,
};

const headersOfAnswer = { ":status": 200, "content-type": "application/grpc" };
const okTrailers = { "grpc-status": "0" };

/**
 * gRPC over node:http2. Own framing, because it is a few dozen lines and keeps the general library's objects out of each call.
 */
export function createGrpcServer({ methods, maxMessageBytes }: GrpcServerOptions, log: Logger): GrpcServer {
  const servers: (Http2Server | Http2SecureServer)[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const openCalls = new Set<StreamCall>();

  function onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    // A broken peer shows as an error and then a close; the close is what is acted on.
    stream.on("error", () => {});
    const path = headers[":path"] ?? "";
    const method = methods.get(String(path));
    if (!method) fail(stream, new EtcdError(grpcStatus.unimplemented, `unknown method ${path}`));
    else if (method.kind === "unary") serveUnary(stream, method);
    else serveStream(stream, method);
  }

  function serveUnary(stream: ServerHttp2Stream, method: UnaryMethod): void {
    let served = false;
    const reader = createFrameReader(maxMessageBytes, (message) => {
      if (served) return;
      served = true;
      answer(stream, method, message);
    });
    stream.on("data", (chunk: Buffer) => {
      try {
        reader(chunk);
      } catch (error) {
        served = true;
        fail(stream, error);
      }
    });
    stream.on("end", () => {
      if (!served) fail(stream, new EtcdError(grpcStatus.internal, "request without a message"));
    });
  }

  function answer(stream: ServerHttp2Stream, method: UnaryMethod, message: Uint8Array): void {
    try {
      const result = method.serve(message);
      if (result instanceof Promise) {
        result.then(
          (value) => succeed(stream, value),
          (error: unknown) => fail(stream, error),
        );
      } else succeed(stream, result);
    } catch (error) {
      fail(stream, error);
    }
  }

  function succeed(stream: ServerHttp2Stream, message: MessageEncoder): void {
    if (stream.destroyed || stream.closed) return;
    stream.on("wantTrailers", () => stream.sendTrailers(okTrailers));
    stream.respond(headersOfAnswer, { waitForTrailers: true });
    stream.end(messageFrame(message));
  }

  function fail(stream: ServerHttp2Stream, error: unknown): void {
    if (stream.destroyed || stream.closed) return;
    const trailers = statusOf(error);
    if (trailers["grpc-status"] === String(grpcStatus.internal)) log.error({ err: error }, "Request failed");
    if (!stream.headersSent) {
      stream.respond({ ...headersOfAnswer, ...trailers }, { endStream: true });
      return;
    }
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    stream.end();
  }

  function serveStream(stream: ServerHttp2Stream, method: StreamMethod): void {
    stream.respond(headersOfAnswer, { waitForTrailers: true });
    let over = false;
    const call: StreamCall = {
      send: (message) => (over ? true : stream.write(messageFrame(message))),
      end(error) {
        if (over) return;
        over = true;
        if (error === undefined) {
          stream.on("wantTrailers", () => stream.sendTrailers(okTrailers));
          stream.end();
        } else fail(stream, error);
      },
    };
    openCalls.add(call);
    const handler = method.serve(call);
    const reader = createFrameReader(maxMessageBytes, (message) => handler.message(message));
    stream.on("data", (chunk: Buffer) => {
      try {
        reader(chunk);
      } catch (error) {
        over = true;
        fail(stream, error);
      }
    });
    stream.on("end", () => handler.ended());
    stream.on("drain", () => handler.drained());
    stream.on("close", () => {
      over = true;
      openCalls.delete(call);
      handler.closed();
    });
  }

  function onSession(session: ServerHttp2Session): void {
    sessions.add(session);
    session.setLocalWindowSize(windowBytes * 4);
    session.on("error", (error) => log.debug({ err: error }, "Connection failed"));
    session.on("close", () => sessions.delete(session));
  }

  return {
    async listen(where, tls) {
      const server = tls ? createSecureServer(secureOptions(tls)) : createServer(http2Options);
      server.on("stream", onStream);
      server.on("session", onSession);
      server.on("tlsClientError", (error) => log.debug({ err: error }, "TLS handshake failed"));
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      server.once("error", reject);
      server.listen(where, resolve);
      try {
        await promise;
      } catch (error) {
        const place = where.path ?? `${where.host}:${where.port}`;
        throw new AppError("conflict", `cannot listen on ${place}`, {
          remedy: "free the address or choose another with --listen-client-urls",
          cause: error,
        });
      }
      server.on("error", (error) => log.error({ err: error }, "Listener failed"));
      servers.push(server);
      const address = server.address();
      return { port: address && typeof address === "object" ? address.port : 0 };
    },
    async stop() {
      const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
      for (const session of sessions) session.close();
      for (const call of openCalls) call.end(etcdErrors.stopped());
      const timer = setTimeout(() => {
        for (const session of sessions) session.destroy();
      }, drainMs);
      await Promise.all(closed);
      clearTimeout(timer);
    },
  };
}

function secureOptions(tls: TlsFiles): SecureServerOptions {
  return {
    ...http2Options,
    cert: tls.cert,
    key: tls.key,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    requestCert: tls.requireClientCertificate,
    rejectUnauthorized: tls.requireClientCertificate,
    minVersion: "TLSv1.2",
    allowHTTP1: false,
  };
}

/** Status and message as gRPC writes them; what is not an expected refusal is not shown to the peer. */
function statusOf(error: unknown): { "grpc-status": string; "grpc-message": string } {
  const known = error instanceof EtcdError;
  const code = known ? error.code : grpcStatus.internal;
  const text = known ? error.message : "internal error";
  return { "grpc-status": String(code), "grpc-message": percentEncoded(text) };
}

function percentEncoded(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]/gu, (character) => encodeURIComponent(character));
}
