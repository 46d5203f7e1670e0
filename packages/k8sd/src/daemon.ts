import type { Logger } from "pino";
import { createFollowAddress } from "./cluster/address/follow-address.ts";
import type { BootstrapInput } from "./cluster/bootstrap/plan.ts";
import { withPathsOf } from "./cluster/bootstrap/prepare.ts";
import { createCluster } from "./cluster/cluster.ts";
import { connectDatastore } from "./cluster/connections.ts";
import { createDeadWatch } from "./cluster/long-dead/dead-watch.ts";
import { createRemoveLongDead } from "./cluster/long-dead/remove-long-dead.ts";
import { meshStatus } from "./cluster/mesh/status.ts";
import { createFollowEngine } from "./cluster/migrate/follow-engine.ts";
import { loadNodeKey } from "./cluster/node-key.ts";
import { createNotices } from "./cluster/notices.ts";
import { createCopies } from "./cluster/recover/copies.ts";
import { createRemoval } from "./cluster/remove/removal.ts";
import { createRoster, type KnownMember } from "./cluster/roster.ts";
import { createSealFile } from "./cluster/seal.ts";
import { inspectMachine } from "./components/machine.ts";
import { createHost } from "./host/create-host.ts";
import { groupId } from "./host/groups.ts";
import type { Shutdown } from "./host/pebble-plan.ts";
import { processStartedAt } from "./host/process-start.ts";
import { programVersions } from "./host/program-versions.ts";
import { createHttpApp } from "./http/app.ts";
import type { DatabaseStatus, Domain } from "./http/domain.ts";
import { listenUnix } from "./http/listeners.ts";
import { routes, unimplemented } from "./http/routes.ts";
import { AppError } from "./lib/app-error.ts";
import { systemClock } from "./lib/clock.ts";
import { sleep, untilAborted } from "./lib/wait.ts";
import { ensureDirectory } from "./lib/write-file.ts";
import { createMember } from "./member.ts";
import { createPeerCache, createReplicaStore, forgetMesh } from "./mesh/node-db-stores.ts";
import { createAudit } from "./node-db/audit.ts";
import { createIdentityStore } from "./node-db/identity.ts";
import { createJournal } from "./node-db/journal.ts";
import { openNodeDb } from "./node-db/node-db.ts";
import { createRosterStore } from "./node-db/roster-store.ts";
import { createFaultPoints } from "./operations/boundary.ts";
import { createRunner } from "./operations/runner.ts";
import { registerOperations } from "./operations-of-node.ts";
import type { DaemonOptions } from "./options.ts";
import { createAddressFollower } from "./reconcile/address.ts";
import { createEpochFollower } from "./reconcile/epoch.ts";
import { runReconciler } from "./reconcile/loop.ts";
import { createMemberMesh } from "./reconcile/member-mesh.ts";
import { version } from "./version.ts";

/** An operation that a crash left is settled within this, or it waits for somebody else. */
const settleMs = 60_000;

/** The composition root: opens, wires and starts everything in this order; stops it in reverse. Runs until it is asked to stop. */
export async function runDaemon(options: DaemonOptions, log: Logger, asked: AbortSignal): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { now } = systemClock;
  let started = false;

  const shutdown = new AbortController();
  const stop = AbortSignal.any([asked, shutdown.signal]);
  const onShutdown = (how: Shutdown, cause: string): void => {
    log.warn({ how, cause }, "A layer asks for the end of k8sd");
    shutdown.abort(how === "failure" ? new AppError("unavailable", `cannot go on without ${cause}`) : undefined);
  };
  const host = stack.use(
    createHost({ ...options, state: options.stateDir }, { log: log.child({ module: "host" }), onShutdown }),
  );
  const { paths } = host;
  await ensureDirectory(paths.state, 0o711);
  const machine = await inspectMachine();

  const db = openNodeDb(paths.nodeDb);
  stack.defer(() => void db.close());
  const identity = createIdentityStore<BootstrapInput>(db, (input) => withPathsOf(host, input));
  const journal = createJournal(db, now);
  const runner = createRunner({
    journal,
    log: log.child({ module: "operations" }),
    now,
    ...(options.faultDirectory === undefined ? {} : { boundary: createFaultPoints(options.faultDirectory) }),
  });

  const audit = createAudit(db, now);
  const notices = createNotices();
  const nodeKey = await loadNodeKey(paths.nodeKey);
  const roster = createRoster(nodeKey.fingerprint, createRosterStore<KnownMember>(db), now);
  const mesh = createMemberMesh({
    nodeKey,
    roster,
    store: createReplicaStore(db),
    peers: createPeerCache(db),
    log: log.child({ module: "mesh" }),
    now,
  });
  const versions = (signal: AbortSignal) =>
    programVersions(host, { k8sd: version, kubernetes: options.kubernetes }, signal);
  const seal = createSealFile(paths.sealKey);

  const databaseStatus = (): DatabaseStatus => {
    if (!started) return "Database is still starting";
    return identity.read() === undefined ? "Database is not yet initialized" : "Database is online";
  };
  const copies = createCopies({
    paths,
    identity,
    nodeKey,
    roster,
    connect: (view) => connectDatastore(view),
    rejoining: () => journal.unfinished().some(({ kind }) => kind === "rejoin"),
    now,
  });
  const cluster = createCluster(
    { kubernetes: options.kubernetes },
    {
      host,
      machine,
      identity,
      runner,
      journal,
      seal,
      audit,
      nodeKey,
      versions,
      roster,
      notices,
      copies,
      liveness: mesh.liveness,
      log: log.child({ module: "cluster" }),
      now,
      connections: () => member.connections(),
    },
  );
  const removal = createRemoval({
    host,
    log: log.child({ module: "removal" }),
    identity,
    audit,
    runner,
    roster,
    nodeKey,
    connections: () => member.connections(),
    member: {
      stop: async () => {
        await member.rest();
        await member.close();
      },
    },
    release: cluster.joinTokens.admission.release,
    forgetMesh: () => forgetMesh(db),
    now,
  });
  const longDead = createRemoveLongDead({
    watch: createDeadWatch({ liveness: mesh.liveness, elapsed: () => performance.now() }),
    link: copies.link,
    isReady: cluster.isNodeReady,
    connections: () => member.connections(),
    remove: removal.remove,
    audit,
    log: log.child({ module: "removal" }),
  });
  const domain: Domain = {
    ...cluster,
    mesh: async (signal) => meshStatus(await mesh.state(signal), roster.members()),
    deadMembers: longDead.dead,
    removeNode: removal.remove,
    leave: removal.leave,
    databaseStatus,
    ready: () => started,
    workerKeys: roster.workerKeys,
    identity: () => {
      const view = identity.read()?.view.view;
      return { name: view?.name ?? host.hostname, address: view?.k8sdAddress ?? "" };
    },
    isWorker: () => identity.read()?.view.view.role === "worker",
    trustedKeys: roster.keys,
    isMember: (id) => roster.members().some((member) => member.id === id),
  };
  const closing = new AbortController();
  const http = createHttpApp(
    {},
    { rows: routes, unimplemented, domain, log: log.child({ module: "http" }), closing: closing.signal, now },
  );
  const member = stack.use(
    createMember(
      { drainTimeoutMs: options.drainTimeoutMs },
      {
        host,
        log,
        handler: http.listener("tls"),
        nodeKey,
        roster,
        mesh,
        engine: createFollowEngine({ identity, now }),
        peers: copies.peers,
        versions,
        removal,
        longDead,
        notices,
        snapshots: cluster.snapshots,
        sealKey: cluster.sealKey,
        sweepJoinTokens: cluster.joinTokens.sweep,
        now,
      },
    ),
  );
  registerOperations(runner, {
    host,
    log,
    now,
    identity,
    seal,
    nodeKey,
    versions,
    member,
    roster,
    peers: copies.peers,
    joined: () => runMember(),
  });
  function runMember(): void {
    const self = identity.read();
    if (self !== undefined) member.run(self.view);
  }

  const gid = options.socketGroup === undefined ? undefined : await groupId(options.socketGroup);
  const socket = await listenUnix(
    { path: paths.controlSocket, ...(gid === undefined ? {} : { gid }) },
    http.listener("unix"),
  );
  stack.defer(() => socket.close(options.drainTimeoutMs));
  const background: Promise<unknown>[] = [];
  stack.defer(async () => void (await Promise.allSettled(background)));
  stack.defer(() => runner.stop());
  stack.defer(() => closing.abort());

  await host.resume(stop).catch((error: unknown) => {
    // Asked to stop while it starts: what is started below ends at once.
    if (!stop.aborted) throw error;
  });
  // Only the removal of another node works with what runs on members; the others change what that works with.
  if (journal.unfinished().every(({ kind }) => kind === "remove")) runMember();
  // One that waits for others (a rejoin) goes on while the daemon answers.
  const settled = runner.recover().then(runMember);
  background.push(settled);
  await Promise.race([settled, sleep(settleMs, stop)]).catch(() => {
    // Likewise.
  });
  const epoch = createEpochFollower({
    heardEpoch: mesh.epoch,
    paths,
    notices,
    audit,
    member: () => identity.read(),
    identity,
    copies,
    runner,
    journal,
    etcdStartedAt: async (signal) => {
      const { pid } = await host.services.status("etcd", signal);
      return pid === undefined ? undefined : processStartedAt(pid, now());
    },
    log: log.child({ module: "recovery" }),
    now,
  });
  background.push(runReconciler(epoch, log.child({ module: "recovery" }), stop));
  const look = createFollowAddress({
    host,
    member: () => identity.read(),
    start: cluster.address.start,
    log: log.child({ module: "address" }),
  });
  background.push(runReconciler(createAddressFollower(look), log.child({ module: "address" }), stop));
  started = true;
  log.info({ socket: paths.controlSocket, member: identity.read()?.view.view.name }, "Started");
  await untilAborted(stop);
  log.info("Stopping");
  if (shutdown.signal.reason instanceof AppError) throw shutdown.signal.reason;
}
