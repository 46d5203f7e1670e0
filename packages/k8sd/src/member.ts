import { readFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import type { Logger } from "pino";
import { type BootstrapInput, serviceStages } from "./cluster/bootstrap/plan.ts";
import { type Connections, createConnections } from "./cluster/connections.ts";
import { splitHostPort } from "./components/address.ts";
import type { Host } from "./host/host.ts";
import { listenTls, type TlsListener } from "./http/listeners.ts";
import { AppError } from "./lib/app-error.ts";
import { fingerprint } from "./pki/expiry.ts";
import { type Reconciler, runReconciler } from "./reconcile/loop.ts";
import { createNodeLabels } from "./reconcile/node-labels.ts";
import { createServicesReconciler } from "./reconcile/services.ts";

export interface MemberOptions {
  readonly drainTimeoutMs: number;
}

export interface MemberDeps {
  readonly host: Host;
  readonly log: Logger;
  readonly handler: RequestListener;
}

const listenerPeriodMs = 60_000;

/**
 * What runs only on a node that is a member: HTTPS listener, connections to the cluster, reconcilers.
 *
 *   closed ──open──► listening ──run──► running ──dispose──► closed
 *      ▲                 │ close
 *      └─────────────────┘
 */
export interface Member extends AsyncDisposable {
  /** Opens the listener; idempotent. A bootstrap does it before it makes the node a member. */
  open(address: string): Promise<void>;
  close(): Promise<void>;
  /** Starts everything; idempotent. */
  run(input: BootstrapInput): void;
  connections(): Connections;
  /** Certificates that callers of the listener are trusted by. */
  trusted(): ReadonlySet<string>;
}

export function createMember(options: MemberOptions, deps: MemberDeps): Member {
  const { host, log } = deps;
  let listener: TlsListener | undefined;
  let trusted: ReadonlySet<string> = new Set();
  let running:
    | { readonly stop: AbortController; readonly ended: Promise<unknown>; readonly connections: Connections }
    | undefined;

  async function close(): Promise<void> {
    const open = listener;
    listener = undefined;
    trusted = new Set();
    await open?.close(options.drainTimeoutMs);
  }

  async function open(address: string): Promise<void> {
    if (listener !== undefined) return;
    const target = splitHostPort(address);
    if (target === undefined) throw new AppError("internal", `cannot listen on ${address}: it is not ip:port`);
    const [cert, key, server] = await Promise.all([
      readFile(host.paths.clusterCert, "utf8"),
      readFile(host.paths.clusterKey, "utf8"),
      readFile(host.paths.serverCert, "utf8"),
    ]);
    listener = await listenTls({ ...target, cert, key }, deps.handler);
    trusted = new Set([fingerprint(server)]);
    log.info({ address }, "Listening");
  }

  /** A port that is taken when the daemon starts must not keep it from answering on its socket. */
  const keepOpen = (address: string): Reconciler => ({
    name: "listener",
    reconcile: async () => {
      await open(address);
      return listenerPeriodMs;
    },
  });

  return {
    open,
    close,
    run: (input) => {
      if (running !== undefined) return;
      const stop = new AbortController();
      const connections = createConnections(input.view);
      const names = serviceStages(input).flat();
      const reconcilers = [
        keepOpen(input.view.k8sdAddress),
        createServicesReconciler(names, { services: host.services, log }),
        ...(input.kubernetes ? [createNodeLabels(input.view, { kube: connections.kube })] : []),
      ];
      const ended = Promise.all(
        reconcilers.map((reconciler) => runReconciler(reconciler, log.child({ module: "reconcile" }), stop.signal)),
      );
      running = { stop, ended, connections };
    },
    connections: () => {
      if (running !== undefined) return running.connections;
      throw new AppError("unavailable", "cannot reach the cluster: the node has not finished its start");
    },
    trusted: () => trusted,
    [Symbol.asyncDispose]: async () => {
      running?.stop.abort();
      await running?.ended;
      await running?.connections[Symbol.asyncDispose]();
      running = undefined;
      await close();
    },
  };
}
