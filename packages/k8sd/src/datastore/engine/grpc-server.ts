import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { Logger } from "pino";
import { AppError } from "../../lib/app-error.ts";
import { grpcStatus } from "../wire.ts";
import { EtcdError, etcdErrors } from "./etcd-error.ts";
import { type CallContext, type Method, refuse, type StreamCall, serveStream, serveUnary } from "./grpc-call.ts";
import { type Connection, createConnection, type Receiver, type ServerStream } from "./http2/connection.ts";
import { createMessageWriter } from "./message-writer.ts";
import { createPermission, type KeyLimits } from "./permission.ts";
import { createTurns } from "./turns.ts";

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
  readonly keyLimits: KeyLimits;
  readonly methods: ReadonlyMap<string, Method>;
  /** Larger messages are refused before they are kept. */
  readonly maxMessageBytes: number;
}

/** Answers that a connection's peer may leave lying, so that it has some to take at any time; its further requests wait. */
const maxQueuedBytes = 128 * 1024;
/** What peers get to finish their calls at a stop: a write in progress takes a few milliseconds, and clients try again. */
const drainMs = 500;
/** A peer that vanished without a word is found by probes of the connection. */
const socketOptions = { keepAlive: true, keepAliveInitialDelay: 30_000, noDelay: true };
/** How long a client may take to prove who it is. */
const handshakeTimeout = 10_000;
const unknownCall: Receiver = { data() {}, ended() {}, drained() {}, closed() {} };

/** gRPC over an HTTP/2 of our own: Node's costs more per call than the store's work, and ten times its memory. */
export function createGrpcServer({ methods, keyLimits, maxMessageBytes }: GrpcServerOptions, log: Logger): GrpcServer {
  const servers: Server[] = [];
  const connections = new Set<Connection>();
  const writer = createMessageWriter();
  const turns = createTurns();
  const openCalls = new Set<StreamCall>();

  const permissions = new Map([...keyLimits].map(([name, prefixes]) => [name, createPermission(prefixes)]));

  function serve(socket: Socket, clientName?: string): void {
    const turn = turns.join(() => connection.queuedBytes <= maxQueuedBytes);
    const permission = clientName === undefined ? undefined : permissions.get(clientName);
    const context: CallContext = { maxMessageBytes, permission, log, writer, inTurn: turn.run, sent: turns.sent };
    const open = (path: string, stream: ServerStream): Receiver => {
      const method = methods.get(path);
      if (method?.kind === "unary") return serveUnary(stream, method, context);
      if (method?.kind === "stream") return serveStream(stream, method, context, openCalls);
      refuse(stream, new EtcdError(grpcStatus.unimplemented, `unknown method ${path}`), log);
      return unknownCall;
    };
    const connection = createConnection(socket, {
      open,
      relieved: turn.relieved,
      failed: (error) => log.debug({ err: error }, "Connection failed"),
      closed() {
        turn.leave();
        connections.delete(connection);
      },
    });
    connections.add(connection);
  }

  return {
    async listen(where, tls) {
      const server = tls ? createSecureServer(tls, serve) : createServer(socketOptions, serve);
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
      for (const connection of connections) connection.close();
      for (const call of openCalls) call.end(etcdErrors.stopped());
      const timer = setTimeout(() => {
        for (const connection of connections) connection.destroy();
      }, drainMs);
      await Promise.all(closed);
      clearTimeout(timer);
    },
  };
}

function createSecureServer(tls: TlsFiles, serve: (socket: TLSSocket, clientName: string | undefined) => void): Server {
  const options = {
    ...socketOptions,
    cert: tls.cert,
    key: tls.key,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    requestCert: tls.requireClientCertificate,
    rejectUnauthorized: tls.requireClientCertificate,
    minVersion: "TLSv1.2" as const,
    ALPNProtocols: ["h2"],
    handshakeTimeout,
  };
  return createTlsServer(options, (socket) => {
    if (socket.alpnProtocol === "h2") serve(socket, commonName(socket));
    else socket.destroy();
  });
}

/** Of a client certificate that was verified. A certificate may hold several names; the limits of any of them would hold. */
function commonName(socket: TLSSocket): string | undefined {
  if (!socket.authorized) return undefined;
  const { CN } = socket.getPeerCertificate().subject;
  return Array.isArray(CN) ? CN.at(-1) : CN;
}
