import { randomBytes } from "node:crypto";
import { chmod, chown, lstat, mkdtemp, rename, rm } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { AppError, isMissingFile } from "../lib/app-error.ts";

export interface Listener {
  /** Path of the socket, or `ip:port` with the real port. */
  readonly address: string;
  /** Takes no new connections, lets requests finish until the deadline, then cuts them. May be called twice. */
  close(deadlineMs: number): Promise<void>;
}

export interface TlsKeyPair {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

export interface TlsListener extends Listener {
  /** New connections get the new certificate; open ones stay. */
  reload(pair: TlsKeyPair): void;
}

/** Slow callers hold a connection no longer than this; no real client sends a body for a minute. */
const limits = { headersTimeout: 10_000, requestTimeout: 60_000, maxHeaderSize: 16 * 1024 } as const;

/** Enough for every node of a large cluster at once, small against our memory. */
const maxConnections = 1024;

const socketMode = 0o660;

/** The kernel's limit for the path of a socket, without the zero at its end. */
const maxSocketPath = 107;

/**
 * Listens on a unix socket that is never seen half made: it is bound in a private directory, gets its mode and group, and
 * is then renamed into place. A socket that nobody answers on any more is replaced, a living one is not.
 */
export async function listenUnix(
  options: { readonly path: string; readonly gid?: number },
  handler: RequestListener,
): Promise<Listener> {
  const { path } = options;
  if (Buffer.byteLength(path) > maxSocketPath) {
    throw new AppError("invalid", `cannot listen on ${path}: the path is longer than ${maxSocketPath} bytes`, {
      field: "--state-dir",
      remedy: "Use a state directory with a shorter path.",
    });
  }
  await refuseTaken(path);
  const server = createServer(limits, handler);
  server.maxConnections = maxConnections;
  const closeServer = closer(server);
  // A short name, so that the path stays within the limit too.
  const directory = await mkdtemp(join(dirname(path), ".s"));
  try {
    const temporary = join(directory, "s");
    await listening(server, path, () => server.listen(temporary));
    await chmod(temporary, socketMode);
    if (options.gid !== undefined) await chown(temporary, process.getuid?.() ?? 0, options.gid);
    await rename(temporary, path);
  } catch (error) {
    server.close();
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const { ino } = await lstat(path);
  return {
    address: path,
    close: async (deadlineMs) => {
      const current = await lstat(path).catch(() => undefined);
      if (current?.ino === ino) await rm(path, { force: true });
      await closeServer(deadlineMs);
    },
  };
}

/** HTTPS where client certificates are asked for and not judged: access.ts compares them with the members' own. */
export async function listenTls(
  options: { readonly host: string; readonly port: number } & TlsKeyPair,
  handler: RequestListener,
): Promise<TlsListener> {
  const { host, port } = options;
  const context = ({ cert, key }: TlsKeyPair) => ({ cert, key, minVersion: "TLSv1.2" as const });
  const server = createTlsServer(
    {
      ...limits,
      ...context(options),
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: limits.headersTimeout,
      // Sessions of one server must not be taken up by another that shares the certificate.
      sessionIdContext: randomBytes(16).toString("hex"),
      ALPNProtocols: ["http/1.1"],
    },
    handler,
  );
  server.maxConnections = maxConnections;
  const close = closer(server);
  await listening(server, `${host}:${port}`, () => server.listen(port, host));
  const bound = server.address() as AddressInfo;
  const boundHost = bound.family === "IPv6" ? `[${bound.address}]` : bound.address;
  return {
    address: `${boundHost}:${bound.port}`,
    reload: (pair) => server.setSecureContext(context(pair)),
    close,
  };
}

async function listening(server: Server | TlsServer, where: string, listen: () => unknown): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.once("listening", resolve);
  listen();
  try {
    await promise;
  } catch (error) {
    throw new AppError("conflict", `cannot listen on ${where}`, {
      cause: error,
      remedy: "Stop the process that holds the address.",
    });
  } finally {
    server.off("error", reject);
  }
}

function closer(server: Server | TlsServer): (deadlineMs: number) => Promise<void> {
  // Of our own: node counts a TLS connection only after its handshake, and a mute caller never ends it.
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  let closing: Promise<void> | undefined;
  return (deadlineMs) => {
    closing ??= new Promise((resolve) => {
      const cut = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, deadlineMs);
      server.close(() => {
        clearTimeout(cut);
        resolve();
      });
      server.closeIdleConnections();
    });
    return closing;
  };
}

async function refuseTaken(path: string): Promise<void> {
  let isSocket: boolean;
  try {
    isSocket = (await lstat(path)).isSocket();
  } catch (error) {
    if (isMissingFile(error)) return;
    throw error;
  }
  if (!isSocket) {
    throw new AppError("conflict", `cannot listen on ${path}: a file that is not a socket is in the way`, {
      remedy: "Move it away if nothing needs it.",
    });
  }
  if (await answersOn(path)) {
    throw new AppError("conflict", `cannot listen on ${path}: another process is listening there`, {
      remedy: "Stop the k8sd that runs already, or give this one its own state directory.",
    });
  }
}

function answersOn(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // Refused: its process is gone.
    socket.once("error", () => resolve(false));
  });
}
