import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import type { Logger } from "pino";
import { createCommitQueue } from "./commit-queue.ts";
import { createCompactor } from "./compactor.ts";
import { openDisk } from "./disk.ts";
import type { Method } from "./grpc-call.ts";
import { kvMethods } from "./kv-service.ts";
import { leaseMethods } from "./lease-service.ts";
import { createLessor } from "./lessor.ts";
import { createMaintenance } from "./maintenance.ts";
import { maintenanceMethods } from "./maintenance-service.ts";
import { createRoom } from "./room.ts";
import { openDatabases } from "./schema.ts";
import { createStore } from "./store.ts";
import type { Headers } from "./unary.ts";
import { createWatchHub } from "./watch-hub.ts";
import { watchMethods } from "./watch-service.ts";

export interface EngineOptions {
  readonly dataDir: string;
  readonly name: string;
  readonly quotaBytes: number;
  readonly progressIntervalMs: number;
  readonly initialRevision: number;
}

export interface EngineDeps {
  readonly log: Logger;
  /** The addresses clients are told; known once the listeners are up. */
  readonly clientUrls: () => readonly string[];
  readonly broken: (error: unknown) => void;
}

/** The store with everything around it, behind the calls of the etcd v3 API; no network. */
export interface Engine {
  readonly methods: ReadonlyMap<string, Method>;
  stop(): Promise<void>;
}

/** There is one member and no raft; clients only compare the term. */
const raftTerm = 2;

export function createEngine(options: EngineOptions, { log, clientUrls, broken }: EngineDeps): Engine {
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
  const databases = openDatabases(join(options.dataDir, "datastore.db"), options.initialRevision);
  const { db, reader } = databases;
  const disk = openDisk(db, log);
  const store = createStore(db, reader);
  const { durable, running } = store;
  const hub = createWatchHub(durable);
  const queue = createCommitQueue({ store, disk, log, published: hub.publish, broken });
  const lessor = createLessor({ db, running, queue, log, now: () => performance.now() });
  const compactor = createCompactor({ db, durable, running, queue, log });
  const room = createRoom(db, queue, options.quotaBytes, log);
  const maintenance = createMaintenance({ db, durable, queue, disk });
  const headers: Headers = (revision = durable.revision()) => ({
    clusterId: durable.clusterId,
    memberId: durable.memberId,
    revision,
    raftTerm,
  });
  const progress = setInterval(hub.notifyProgress, options.progressIntervalMs);
  compactor.resume();
  log.info({ revision: durable.revision(), compactRevision: durable.compactRevision() }, "Opened datastore");

  return {
    methods: new Map<string, Method>([
      ...kvMethods({ durable, running: { ...running, leaseExists: lessor.exists }, queue, compactor, room, headers }),
      ...watchMethods(hub, headers),
      ...leaseMethods({ lessor, durable, room, headers }),
      ...maintenanceMethods({ durable, maintenance, room, headers, member: { name: options.name, clientUrls } }),
    ]),
    async stop() {
      clearInterval(progress);
      lessor.stop();
      await compactor.stop();
      await lessor.checkpoint();
      await queue.close();
      databases.close();
      disk.close();
    },
  };
}
