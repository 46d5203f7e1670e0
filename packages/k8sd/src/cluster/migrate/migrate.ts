import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import type { DatastoreReport, MigrateResponse, PrepareResponse } from "@k8sd/api-types";
import { datastoreKind } from "../../components/datastore-kind.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import type { Host } from "../../host/host.ts";
import { conflictsError } from "../../host/preflight.ts";
import { AppError, isKind } from "../../lib/app-error.ts";
import type { Journal } from "../../node-db/journal.ts";
import { type DeferredRun, deferredRun } from "../../operations/deferred.ts";
import type { OperationRun, Runner } from "../../operations/runner.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import type { Self } from "../recover/copies.ts";
import { type Destination, destinationOf, type Wish } from "./destination.ts";
import { withEngine, withEtcdOf } from "./engines.ts";
import { datastoreMetrics } from "./metrics.ts";
import { planMigrate } from "./plan.ts";
import { problemsOf } from "./preconditions.ts";
import { brief, datastoreReport, migrationUnderWay, moving, type ReportDeps } from "./report.ts";

export interface MigrationDeps {
  readonly host: Host;
  /** The member that this node is; throws before there is one. */
  readonly member: () => Self;
  readonly datastore: () => Promise<Datastore>;
  readonly runner: Pick<Runner, "find" | "start" | "events">;
  readonly journal: Pick<Journal, "unfinished">;
  readonly sealKey: ReportDeps["sealKey"];
}

export interface MigrateOrder extends Wish {
  /** 0 = the domain's own ceiling. */
  readonly timeoutMs: number;
}

export interface RoomOrder {
  /** Of one attempt to join. */
  readonly attempt: string;
  /** False: there is room already. */
  readonly needed: boolean;
}

/** For one attempt to join, when k8sd is stopped again and again. */
const mostStarts = 3;
/** Gigabytes are copied within minutes. */
const ceilingMs = 3_600_000;

export type Migration = ReturnType<typeof createMigration>;

/** Moves the data of the cluster from one engine to another. */
export function createMigration(deps: MigrationDeps) {
  async function begin({ timeoutMs, ...wish }: MigrateOrder, requestId: string): Promise<OperationRun> {
    const { to } = wish;
    const destination = destinationOf(wish, new Date());
    const limit = Math.min(timeoutMs === 0 ? ceilingMs : timeoutMs, ceilingMs);
    const { id: nodeId, clusterId, view: before } = deps.member();
    const from = datastoreKind(before.view.datastore);
    refuseMove(before.view.datastore.engine, destination);
    const { url, etcd } = destination;
    const after = afterMove(before, destination);
    const problems = await problemsOf({ before, after, url, etcd }, { ...deps, nodeId }, AbortSignal.timeout(limit));
    if (problems.length > 0) throw conflictsError(`migrate the datastore to ${to}`, problems);
    const [source, target] = await freePorts(before.view.loopback);
    const input = { nodeId, clusterId, before, after, ports: { source, target } };
    const result: MigrateResponse = { from, to };
    const secret = etcd === undefined ? url : JSON.stringify(etcd.access);
    const options = { timeoutMs: limit, ...(secret === undefined ? {} : { secret }) };
    return deps.runner.start(planMigrate(input, { ...result }, requestId), options);
  }

  /** For whoever shall join as a control plane; again under the same attempt, until it is ready. */
  async function makeRoom({ attempt, needed }: RoomOrder): Promise<PrepareResponse> {
    const requestIds = Array.from({ length: mostStarts }, (_, index) => `room-for-${attempt}-${index}`);
    const known = requestIds.map((id) => deps.runner.find(id)).filter((run) => run !== undefined);
    const last = known.at(-1);
    const requestId = requestIds[known.length];
    if (last !== undefined) {
      const interrupted = await last.result.then(() => false, isInterrupted);
      // Whoever joins has to be told why it does not work, but not that k8sd was started again meanwhile.
      if (!interrupted || requestId === undefined) {
        await last.result;
        return { ready: true, events: [...brief(deps.runner.events(last.id))] };
      }
    }
    if (!needed || requestId === undefined) return { ready: true, events: [] };
    try {
      const run = await begin({ to: "etcd", servers: [], timeoutMs: 0 }, requestId);
      return { ready: false, events: [...brief(deps.runner.events(run.id))] };
    } catch (error) {
      // Another node that joins was a moment earlier: both wait for the same.
      const underWay = migrationUnderWay(deps);
      if (underWay !== undefined) return { ready: false, events: [...underWay] };
      // Another operation comes first.
      if (error instanceof AppError && error.retryable) return { ready: false, events: [] };
      throw error;
    }
  }

  return {
    makeRoom,
    underWay: () => migrationUnderWay(deps),
    moving: () => moving(deps),
    report: (signal: AbortSignal): Promise<DatastoreReport> => datastoreReport(deps, signal),
    metrics: (signal: AbortSignal): Promise<string> => datastoreMetrics(deps, signal),

    migrate(order: MigrateOrder, { requestId }: { readonly requestId: string }): DeferredRun<MigrateResponse> {
      const known = deps.runner.find(requestId);
      return deferredRun(requestId, known === undefined ? begin(order, requestId) : Promise.resolve(known));
    },
  };
}

const isInterrupted = (error: unknown): boolean => isKind(error, "cancelled");

function afterMove(before: BootstrapInput, { engine, server, etcd }: Destination): BootstrapInput {
  if (etcd !== undefined) return withEtcdOf(etcd, before);
  if (engine === "external") throw new Error("an etcd of somebody else has no name");
  return withEngine(before, engine, server);
}

/** Those of which there may be another one. */
const theirs: Readonly<Record<string, string>> = { postgres: "a database", external: "an external etcd" };

function refuseMove(from: string, { engine: to }: Destination): void {
  if (from !== to) return;
  const where = theirs[to];
  if (where === undefined) throw new AppError("conflict", `cannot migrate the datastore: it is ${to} already`);
  throw new AppError("conflict", `cannot migrate the datastore: it is in ${where} already`, {
    remedy: "To get to another one, migrate to another engine first.",
  });
}

/** Below those that outgoing connections get, and those of Services of the type NodePort. */
const portRange = { from: 20_000, to: 30_000 };
const portTries = 50;

/** Two that nobody listens on. */
async function freePorts(address: string): Promise<readonly [number, number]> {
  const found = new Set<number>();
  for (let tries = 0; tries < portTries; tries += 1) {
    const port = randomInt(portRange.from, portRange.to);
    if (await isFree(port, address)) found.add(port);
    const [first, second] = found;
    if (first !== undefined && second !== undefined) return [first, second];
  }
  throw new AppError("unavailable", `cannot find two free ports on ${address}`);
}

async function isFree(port: number, address: string): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen({ port, host: address, exclusive: true }), "listening");
    await once(server.close(), "close");
    return true;
  } catch {
    return false;
  }
}
