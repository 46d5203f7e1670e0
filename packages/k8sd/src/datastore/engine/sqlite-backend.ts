import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import type { Logger } from "pino";
import type { Backend } from "./backend.ts";
import { createCommitQueue } from "./commit-queue.ts";
import { createCompactor } from "./compactor.ts";
import { openDisk } from "./disk.ts";
import { createLessor } from "./lessor.ts";
import { createMaintenance } from "./maintenance.ts";
import { createRoom } from "./room.ts";
import { openDatabases } from "./schema.ts";
import { createStore } from "./store.ts";
import { createWatchHub } from "./watch-hub.ts";

export interface SqliteOptions {
  readonly dataDir: string;
  readonly quotaBytes: number;
  readonly initialRevision: number;
}

export interface BackendDeps {
  readonly log: Logger;
  /** The process must start anew. */
  readonly broken: (error: unknown) => void;
}

/** The store in a file of this machine, used by this process alone. */
export function createSqliteBackend(options: SqliteOptions, { log, broken }: BackendDeps): Backend {
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
  compactor.resume();
  log.info({ revision: durable.revision(), compactRevision: durable.compactRevision() }, "Opened datastore");

  return {
    clusterId: durable.clusterId,
    memberId: durable.memberId,
    revision: durable.revision,
    read: (run) => run(durable),
    running: { ...running, leaseExists: lessor.exists },
    queue,
    hub,
    caughtUp: () => undefined,
    lessor,
    compactor,
    room: createRoom(db, queue, options.quotaBytes, log),
    maintenance: createMaintenance({ db, durable, queue, disk }),
    async stop() {
      lessor.stop();
      await compactor.stop();
      await lessor.checkpoint();
      await queue.close();
      await disk.settle();
      databases.close();
      disk.close();
    },
  };
}
