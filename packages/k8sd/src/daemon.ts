import type { Logger } from "pino";
import { type BootstrapDeps, createBootstrapExecutors } from "./cluster/bootstrap/executors.ts";
import type { BootstrapInput, BootstrapStep } from "./cluster/bootstrap/plan.ts";
import { createCluster } from "./cluster/cluster.ts";
import { connectDatastore } from "./cluster/connections.ts";
import { createJoinExecutors } from "./cluster/join/executors.ts";
import { linkOf } from "./cluster/join/link.ts";
import type { JoinStep } from "./cluster/join/plan.ts";
import { loadNodeKey } from "./cluster/node-key.ts";
import { createRoster } from "./cluster/roster.ts";
import { createSealFile } from "./cluster/seal.ts";
import { inspectMachine } from "./components/machine.ts";
import { createHost } from "./host/create-host.ts";
import { groupId } from "./host/groups.ts";
import { programVersions } from "./host/program-versions.ts";
import { createHttpApp } from "./http/app.ts";
import type { DatabaseStatus, Domain } from "./http/domain.ts";
import { listenUnix } from "./http/listeners.ts";
import { routes, unimplemented } from "./http/routes.ts";
import { systemClock } from "./lib/clock.ts";
import { ensureDirectory } from "./lib/write-file.ts";
import { createMember } from "./member.ts";
import { createAudit } from "./node-db/audit.ts";
import { createIdentityStore } from "./node-db/identity.ts";
import { createJournal } from "./node-db/journal.ts";
import { openNodeDb } from "./node-db/node-db.ts";
import { createFaultPoints } from "./operations/boundary.ts";
import { createRunner } from "./operations/runner.ts";
import type { DaemonOptions } from "./options.ts";
import { version } from "./version.ts";

/** The composition root: opens, wires and starts everything in this order; stops it in reverse. Runs until `stop`. */
export async function runDaemon(options: DaemonOptions, log: Logger, stop: AbortSignal): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { now } = systemClock;
  let started = false;

  const host = stack.use(createHost({ ...options, state: options.stateDir }, { log: log.child({ module: "host" }) }));
  const { paths } = host;
  await ensureDirectory(paths.state, 0o711);
  const machine = await inspectMachine();

  const db = openNodeDb(paths.nodeDb);
  stack.defer(() => void db.close());
  const identity = createIdentityStore<BootstrapInput>(db);
  const journal = createJournal(db, now);
  const runner = createRunner({
    journal,
    log: log.child({ module: "operations" }),
    now,
    ...(options.faultDirectory === undefined ? {} : { boundary: createFaultPoints(options.faultDirectory) }),
  });

  const nodeKey = await loadNodeKey(paths.nodeKey);
  const roster = createRoster(nodeKey.fingerprint);
  const versions = (signal: AbortSignal) =>
    programVersions(host, { k8sd: version, kubernetes: options.kubernetes }, signal);
  const seal = createSealFile(paths.sealKey);

  const databaseStatus = (): DatabaseStatus => {
    if (!started) return "Database is still starting";
    return identity.read() === undefined ? "Database is not yet initialized" : "Database is online";
  };
  const cluster = createCluster(
    { kubernetes: options.kubernetes },
    {
      host,
      machine,
      identity,
      runner,
      journal,
      seal,
      audit: createAudit(db, now),
      nodeKey,
      versions,
      roster,
      log: log.child({ module: "cluster" }),
      now,
      connections: () => member.connections(),
    },
  );
  const domain: Domain = {
    ...cluster,
    databaseStatus,
    ready: () => started,
    identity: () => {
      const view = identity.read()?.view.view;
      return { name: view?.name ?? host.hostname, address: view?.k8sdAddress ?? "" };
    },
    isWorker: () => identity.read()?.view.view.role === "worker",
    trustedKeys: roster.keys,
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
        versions,
        sweepJoinTokens: cluster.joinTokens.sweep,
        now,
      },
    ),
  );
  const setUp: BootstrapDeps = {
    host,
    log: log.child({ module: "set-up" }),
    now,
    identity,
    seal,
    nodeKey,
    versions,
    connect: connectDatastore,
    listener: member,
    joined: () => runMember(),
  };
  runner.register<BootstrapStep>("bootstrap", createBootstrapExecutors(setUp));
  runner.register<JoinStep>(
    "join",
    createJoinExecutors({ ...setUp, link: (input) => linkOf(input, { nodeKey, now }) }),
  );
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
  stack.defer(() => runner.stop());
  stack.defer(() => closing.abort());

  await host.resume(stop);
  await runner.recover();
  runMember();
  started = true;
  log.info({ socket: paths.controlSocket, member: identity.read()?.view.view.name }, "Started");
  await new Promise<void>((resolve) => stop.addEventListener("abort", () => resolve(), { once: true }));
  log.info("Stopping");
}
