import { type AddressInfo, createServer, type Socket } from "node:net";
import type { Logger } from "pino";
import { AppError, errorCode } from "../lib/app-error.ts";
import { type Backend, type BackendTimes, createBackends } from "./backends.ts";
import { dial, dialFirst, keepAliveMs } from "./dial.ts";
import type { Endpoint } from "./endpoints-file.ts";
import { relay } from "./relay.ts";

export interface ProxySettings extends BackendTimes {
  readonly listen: { readonly host?: string; readonly port: number };
  readonly maxConnections: number;
  readonly dialTimeoutMs: number;
  readonly staggerMs: number;
}

/** kubelet, kube-proxy and the host-network pods of a node hold some dozens; each costs at most 256 KiB of buffers. */
const maxConnections = 2_048;

export const defaultSettings: Omit<ProxySettings, "listen"> = {
  maxConnections,
  // Control planes are a few milliseconds away; what is silent for longer than a lost packet or two is not there.
  dialTimeoutMs: 3_000,
  staggerMs: 150,
  checkMs: 10_000,
  firstRetryMs: 500,
  mostRetryMs: 15_000,
  graceMs: 60_000,
};

export interface ProxyStats {
  readonly accepted: number;
  /** No API server could be reached. */
  readonly refused: number;
  /** Over the limit of connections. */
  readonly dropped: number;
  readonly open: number;
  readonly backends: readonly { readonly endpoint: string; readonly live: boolean; readonly connections: number }[];
}

export interface ApiserverProxy {
  readonly port: number;
  set(endpoints: readonly Endpoint[]): void;
  stats(): ProxyStats;
  /** Ends all connections; their owners dial again. */
  stop(): Promise<void>;
}

/** Listens before anything else is known, so that a taken port is seen at once and the port is ours from then on. */
export async function startProxy(settings: ProxySettings, log: Logger): Promise<ApiserverProxy> {
  const counts = { accepted: 0, refused: 0, dropped: 0 };
  const waiting = new Set<Socket>();
  const closing = new AbortController();
  const backends = createBackends(settings, {
    log,
    probe: async (endpoint) => {
      const socket = await dial(endpoint, settings.dialTimeoutMs, closing.signal);
      socket.destroy();
    },
  });

  async function connectTo(backend: Backend, signal: AbortSignal): Promise<Socket> {
    try {
      const socket = await dial(backend.endpoint, settings.dialTimeoutMs, signal);
      backends.succeeded(backend);
      return socket;
    } catch (error) {
      if (signal.aborted) backends.suspect(backend);
      else backends.failed(backend, error);
      throw error;
    }
  }

  async function serve(client: Socket): Promise<void> {
    counts.accepted += 1;
    waiting.add(client);
    // It may go away while it waits; "close" says so.
    client.on("error", () => {});
    const candidates = backends.candidates();
    const found = await dialFirst({ candidates, dial: connectTo, staggerMs: settings.staggerMs });
    waiting.delete(client);
    if (found === undefined || client.destroyed || closing.signal.aborted) {
      if (found === undefined) counts.refused += 1;
      found?.socket.destroy();
      client.resetAndDestroy();
      return;
    }
    const { relays } = found.winner;
    const pair = relay(client, found.socket, () => relays.delete(pair));
    relays.add(pair);
  }

  const server = createServer(
    { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs },
    (client) => void serve(client),
  );
  server.maxConnections = settings.maxConnections;
  server.on("drop", () => {
    counts.dropped += 1;
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(listenError(settings.listen, error)));
    server.listen(settings.listen, resolve);
  });
  // After this, accepting can fail for want of descriptors; the next connection finds some again.
  server.on("error", (error) => log.error({ err: error }, "Cannot accept a connection"));

  return {
    port: (server.address() as AddressInfo).port,
    set: backends.set,
    stats: () => ({
      ...counts,
      open: backends.all().reduce((sum, { relays }) => sum + relays.size, 0),
      backends: backends.all().map(({ endpoint, failures, relays }) => ({
        endpoint: endpoint.text,
        live: failures === 0,
        connections: relays.size,
      })),
    }),
    async stop() {
      closing.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const client of waiting) client.destroy();
      backends.stop();
      await closed;
    },
  };
}

function listenError({ host, port }: ProxySettings["listen"], error: Error): AppError {
  const address = `${host ?? ""}:${port}`;
  if (errorCode(error) !== "EADDRINUSE")
    return new AppError("internal", `cannot listen on ${address}`, { cause: error });
  return new AppError("conflict", `cannot listen on ${address}: the port is taken by another program`, {
    field: "--listen",
    remedy: `See which one with 'ss -ltnp sport = :${port}' and stop it, or give the cluster another secure-port.`,
    cause: error,
  });
}
