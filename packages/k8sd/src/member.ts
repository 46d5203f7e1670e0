import { readFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import type { SealKeyState } from "@k8sd/api-types";
import type { Logger } from "pino";
import { type BootstrapInput, serviceStages } from "./cluster/bootstrap/plan.ts";
import { type Connections, connectDatastore, createConnections, datastoreOptions } from "./cluster/connections.ts";
import type { ClusterLink } from "./cluster/join/link.ts";
import type { RemoveLongDead } from "./cluster/long-dead/remove-long-dead.ts";
import type { NodeKey } from "./cluster/node-key.ts";
import type { Notices } from "./cluster/notices.ts";
import type { Orphans } from "./cluster/orphans/orphans.ts";
import type { TakeAway } from "./cluster/remove/take-away.ts";
import type { Roster } from "./cluster/roster.ts";
import { splitHostPort } from "./components/address.ts";
import { datastoreKind } from "./components/datastore-kind.ts";
import type { Host } from "./host/host.ts";
import { listenTls, type TlsListener } from "./http/listeners.ts";
import { AppError } from "./lib/app-error.ts";
import { exists } from "./lib/read-file.ts";
import { createOwnAddress } from "./reconcile/address.ts";
import { createApiServers } from "./reconcile/api-servers.ts";
import { createAuthorization } from "./reconcile/authorization.ts";
import { createDatastoreUpkeep } from "./reconcile/datastore-upkeep.ts";
import { createJoinTokensSweep } from "./reconcile/join-tokens.ts";
import { createLeaving } from "./reconcile/leaving.ts";
import { createLongDead } from "./reconcile/long-dead.ts";
import { type Reconciler, runReconciler } from "./reconcile/loop.ts";
import { createMasquerade } from "./reconcile/masquerade.ts";
import type { MemberMesh } from "./reconcile/member-mesh.ts";
import { createLedgerFollower, createMembersPoll } from "./reconcile/members.ts";
import { createNodeLabels } from "./reconcile/node-labels.ts";
import { createOrphansReconciler } from "./reconcile/orphans.ts";
import { createOwnRecord } from "./reconcile/own-record.ts";
import { createRoutes } from "./reconcile/routes.ts";
import { createSealKeyFollower } from "./reconcile/seal-key.ts";
import { createServicesReconciler } from "./reconcile/services.ts";
import { createSnapshotsReconciler, type SnapshotsReconcilerDeps } from "./reconcile/snapshots.ts";
import { createStanding } from "./reconcile/standing.ts";

export interface MemberOptions {
  readonly drainTimeoutMs: number;
}

export interface MemberDeps {
  readonly host: Host;
  readonly log: Logger;
  readonly handler: RequestListener;
  readonly nodeKey: NodeKey;
  readonly roster: Roster;
  readonly mesh: MemberMesh;
  /** A worker heard what holds the cluster's data now. */
  readonly engine: (type: string) => void;
  /** Addresses of other control planes whose etcd holds the same data. */
  readonly peers: () => readonly string[];
  /** Of what runs on this node. */
  readonly versions: (signal: AbortSignal) => Promise<Readonly<Record<string, string>>>;
  readonly removal: {
    /** Throws before there is a member. */
    readonly self: () => BootstrapInput;
    readonly takeAway: TakeAway;
    readonly orphans: Orphans;
    readonly link: () => Promise<ClusterLink | undefined>;
    readonly wasRemoved: () => Promise<void>;
  };
  readonly longDead: RemoveLongDead;
  readonly notices: Notices;
  readonly snapshots: SnapshotsReconcilerDeps["snapshots"];
  readonly sealKey: { readonly follow: (signal: AbortSignal) => Promise<SealKeyState> };
  readonly sweepJoinTokens: (signal: AbortSignal) => Promise<unknown>;
  readonly now: () => number;
}

const listenerPeriodMs = 60_000;

/**
 * What runs only on a node that is a member: HTTPS listener, connections to the cluster, reconcilers.
 *
 *   closed ──open──► listening ──run──► running ──dispose──► closed
 *      ▲                 │ close  ▲          │
 *      └─────────────────┘        └───rest───┘
 */
export interface Member extends AsyncDisposable {
  /** Opens the listener; idempotent. A bootstrap does it before it makes the node a member. */
  open(address: string): Promise<void>;
  close(): Promise<void>;
  /** Starts everything; idempotent. */
  run(input: BootstrapInput): void;
  /** Ends all of it but the listener, for a change of what it works with; `run` starts it again. */
  rest(): Promise<void>;
  connections(): Connections;
}

export function createMember(options: MemberOptions, deps: MemberDeps): Member {
  const { host, log, roster, mesh } = deps;
  let listener: TlsListener | undefined;
  let running:
    | { readonly stop: AbortController; readonly ended: Promise<unknown>; readonly connections: Connections }
    | undefined;
  /** It ran, and will again. */
  let rested = false;

  async function close(): Promise<void> {
    const open = listener;
    listener = undefined;
    await open?.close(options.drainTimeoutMs);
  }

  async function rest(): Promise<void> {
    const resting = running;
    resting?.stop.abort();
    await resting?.ended;
    await resting?.connections[Symbol.asyncDispose]();
    if (running === resting) running = undefined;
    if (resting !== undefined) rested = true;
  }

  async function open(address: string): Promise<void> {
    if (listener !== undefined) return;
    const target = splitHostPort(address);
    if (target === undefined) throw new AppError("internal", `cannot listen on ${address}: it is not ip:port`);
    const { clusterCert, clusterKey, serverCert, serverKey } = host.paths;
    // Only control planes hold what tokens pin; a worker is known by its own key.
    const hasCluster = await exists(clusterKey);
    const [cert, key] = await Promise.all(
      (hasCluster ? [clusterCert, clusterKey] : [serverCert, serverKey]).map((path) => readFile(path, "utf8")),
    );
    listener = await listenTls({ ...target, cert: cert ?? "", key: key ?? "" }, deps.handler);
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

  const controlPlaneReconcilers = (input: BootstrapInput, connections: Connections): readonly Reconciler[] => [
    createLedgerFollower(input, { roster, datastore: connections.datastore, seen: mesh.publish }),
    createJoinTokensSweep({ sweep: deps.sweepJoinTokens }),
    createSealKeyFollower(deps.sealKey),
    createLeaving(input.nodeId, {
      connections,
      members: roster.members,
      takeAway: deps.removal.takeAway,
      now: deps.now,
    }),
    createOrphansReconciler(deps.removal.orphans),
    createLongDead(input.nodeId, deps.longDead),
    createSnapshotsReconciler(input.nodeId, {
      snapshots: deps.snapshots,
      members: roster.members,
      log: log.child({ module: "snapshot" }),
      now: deps.now,
    }),
    createOwnAddress(input, { connect: (view) => connectDatastore(view), peers: deps.peers }),
    createOwnRecord(input.nodeId, {
      datastore: connections.datastore,
      versions: deps.versions,
      meshPeer: deps.nodeKey.meshPeer,
    }),
    ...(datastoreKind(input.view.datastore) === "external"
      ? []
      : [
          createDatastoreUpkeep({
            connect: () => datastoreOptions(input.view),
            datastore: connections.datastore,
            log: log.child({ module: "datastore" }),
            now: deps.now,
          }),
        ]),
    ...(input.kubernetes
      ? [
          createAuthorization(input, { members: roster.members }),
          createNodeLabels(input.view, { kube: connections.kube, members: roster.members }),
        ]
      : []),
  ];

  const workerReconcilers = (input: BootstrapInput): readonly Reconciler[] => [
    createMembersPoll(input, { roster, mesh, nodeKey: deps.nodeKey, engine: deps.engine, now: deps.now }),
    ...(input.kubernetes ? [createApiServers(input, { roster, mesh })] : []),
  ];

  const networkReconcilers = (input: BootstrapInput): readonly Reconciler[] =>
    input.view.network.nodePodCidrs.length === 0
      ? []
      : [createRoutes(input.nodeId, { run: host.run, members: roster.members }), createMasquerade(input.view, host)];

  return {
    open,
    close,
    rest,
    run: (input) => {
      if (running !== undefined) return;
      const stop = new AbortController();
      const connections = createConnections(input.view, deps.peers);
      const names = serviceStages(input).flat();
      const reconcilers = [
        keepOpen(input.view.k8sdAddress),
        createStanding(deps.removal.self, {
          members: roster.members,
          notices: deps.notices,
          link: deps.removal.link,
          removed: deps.removal.wasRemoved,
        }),
        createServicesReconciler(names, { services: host.services, log }),
        ...(input.view.role === "worker" ? workerReconcilers(input) : controlPlaneReconcilers(input, connections)),
        ...(input.kubernetes ? networkReconcilers(input) : []),
      ];
      const ended = Promise.all([
        mesh.run(input, stop.signal),
        ...reconcilers.map((reconciler) => runReconciler(reconciler, log.child({ module: "reconcile" }), stop.signal)),
      ]);
      running = { stop, ended, connections };
    },
    connections: () => {
      if (running !== undefined) return running.connections;
      const why = rested ? "an operation has the datastore to itself" : "the node has not finished its start";
      throw new AppError("unavailable", `cannot reach the cluster: ${why}`, { remedy: "Try again in a moment." });
    },
    [Symbol.asyncDispose]: async () => {
      await rest();
      await close();
    },
  };
}
