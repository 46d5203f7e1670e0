import { randomUUID } from "node:crypto";
import type { Backend } from "./backend.ts";
import { etcdErrors } from "./etcd-error.ts";
import { createConnect } from "./postgres/connection.ts";
import { createFollower } from "./postgres/follower.ts";
import { createKeeper } from "./postgres/keeper.ts";
import { createLeases } from "./postgres/leases.ts";
import { createMaintenance } from "./postgres/maintenance.ts";
import { createReaders, type Readers } from "./postgres/readers.ts";
import { createRoom } from "./postgres/room.ts";
import { prepareSchema, stateColumns, toState } from "./postgres/schema.ts";
import { createSession, planOnce } from "./postgres/session.ts";
import { createWriter } from "./postgres/writer.ts";
import type { BackendDeps } from "./sqlite-backend.ts";
import { createWatchHub, type WatchHub } from "./watch-hub.ts";

export interface PostgresOptions {
  /** May hold a password. */
  readonly url: string;
  /** For the copies of snapshots. */
  readonly dataDir: string;
  readonly initialRevision: number;
}

/** The store in a PostgreSQL database, used by any number of servers. */
export async function createPostgresBackend(options: PostgresOptions, { log, broken }: BackendDeps): Promise<Backend> {
  const connect = await createConnect(options.url);
  const opening = await connect();
  let first: ReturnType<typeof toState>;
  try {
    await prepareSchema(opening, options.initialRevision);
    first = toState((await opening.rows(`SELECT ${stateColumns} FROM state`))[0]);
  } finally {
    await opening.end();
  }

  // Stopped in the opposite order, also when a later one cannot start.
  await using started = new AsyncDisposableStack();
  const serverId = randomUUID();
  let readers: Readers;
  let hub: WatchHub;
  const follower = createFollower({
    listener: (opened) => createSession(connect, opened),
    serverId,
    first,
    readers: () => readers,
    publish: (changes) => hub.publish(changes),
    watched: () => hub.size > 0,
    log,
    broken,
  });
  hub = createWatchHub(follower.history);
  readers = createReaders(connect, follower.lookout);
  started.defer(readers.close);
  started.defer(follower.stop);
  const writer = createWriter({
    session: createSession(connect, planOnce),
    serverId,
    log,
    lookout: follower.lookout,
    committed: (before, { revision, compactRevision, changes }) =>
      follower.committed(before, { revision, compactRevision }, changes),
  });
  started.defer(writer.close);
  const lessor = createLeases({ writer, readers });
  const room = await createRoom({ writer, readers });
  started.defer(room.stop);
  const keeper = createKeeper({ session: createSession(connect), expire: lessor.expire, log });
  started.defer(keeper.stop);
  log.info({ revision: first.revision, compactRevision: first.compactRevision }, "Opened datastore in PostgreSQL");

  const owned = started.move();
  return {
    clusterId: first.clusterId,
    memberId: first.memberId,
    revision: follower.known,
    read: readers.read,
    running: writer.running,
    queue: writer,
    hub,
    caughtUp: follower.caughtUp,
    lessor,
    compactor: {
      async compact(revision, physical) {
        await writer.submit(() => {
          if (revision <= writer.running.compactRevision()) throw etcdErrors.compacted();
          if (revision > writer.running.revision()) throw etcdErrors.futureRevision();
          writer.running.setCompactRevision(revision);
        });
        const freed = keeper.freed(revision);
        if (physical) await freed;
        else freed.catch(() => {});
      },
    },
    room,
    maintenance: createMaintenance(connect, options.dataDir),
    stop: () => owned.disposeAsync(),
  };
}
