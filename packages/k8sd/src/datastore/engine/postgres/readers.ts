import { etcdErrors } from "../etcd-error.ts";
import type { ReadView } from "../store.ts";
import { type Connect, type Connection, isLost } from "./connection.ts";
import type { Follower } from "./follower.ts";
import { createNeeds, type Needs } from "./needs.ts";
import { type State, stateColumns, toState } from "./schema.ts";
import { createSession, type Session } from "./session.ts";

export interface Readers {
  /** On a snapshot taken after the call. The work may run several times. */
  read<T>(run: (view: ReadView) => T): Promise<T>;
  /** The same for reads that need no run: straight from the connection. */
  query<T>(fetch: (connection: Connection, state: State) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

interface Job {
  /** True when it is answered; false when something is missing. */
  readonly run: (view: ReadView, needs: Needs) => boolean;
  readonly fetch: ((connection: Connection, state: State) => Promise<void>) | undefined;
  readonly reject: (error: unknown) => void;
  readonly since: number;
}

/** Connections for reads: a long list holds up those alone that came with it. */
const sessions = 4;
/** Reads that share a snapshot. */
const maxShared = 64;
/** How long a read waits for a database that is away. */
const patienceMs = 5_000;
const retryMs = 100;

const begin = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT ${stateColumns} FROM state`;

export function createReaders(connect: Connect, lookout: Follower["lookout"]): Readers {
  const free: Session[] = Array.from({ length: sessions }, () => createSession(connect));
  const all = [...free];
  let queue: Job[] = [];
  let closed = false;

  function kick(): void {
    while (queue.length > 0 && free.length > 0) {
      // Those that are free share what waits; the last one connected is the first one used.
      const jobs = queue.splice(0, Math.min(maxShared, Math.ceil(queue.length / free.length)));
      const session = free.pop() as Session;
      void serve(session, jobs).finally(() => {
        free.push(session);
        kick();
      });
    }
  }

  async function serve(session: Session, jobs: readonly Job[]): Promise<void> {
    let open = [...jobs];
    const answered = (job: Job) => {
      open = open.filter((each) => each !== job);
    };
    try {
      await session.use(async (connection) => {
        const look = lookout();
        const [row] = await connection.rows(begin);
        const state = toState(row);
        look(state);
        const needs = createNeeds();
        const view = viewOf(state, needs);
        while (open.length > 0) {
          for (const job of open) if (job.run(view, needs)) answered(job);
          if (open.length === 0) break;
          await needs.fetch(connection);
          for (const job of open.filter(({ fetch }) => fetch)) {
            await job.fetch?.(connection, state);
            answered(job);
          }
        }
        await connection.rows("COMMIT");
      });
    } catch (error) {
      // Reading again does no harm; after a failure that is not the connection's, each reads alone.
      const oldest = performance.now() - patienceMs;
      const again = open.filter(({ since }) => !closed && since > oldest && (isLost(error) || open.length > 1));
      for (const job of open) if (!again.includes(job)) job.reject(isLost(error) ? etcdErrors.noLeader() : error);
      if (again.length === 0) return;
      if (isLost(error)) {
        await new Promise((resolve) => setTimeout(resolve, retryMs));
        queue = [...again, ...queue];
      } else for (const job of again) await serve(session, [job]);
    }
  }

  function add(job: Job): void {
    if (closed) {
      job.reject(etcdErrors.stopped());
      return;
    }
    queue.push(job);
    // What arrives in the same turn shares a snapshot.
    if (queue.length === 1) setImmediate(kick);
  }

  return {
    read<T>(run: (view: ReadView) => T): Promise<T> {
      return new Promise<T>((resolve, reject) => {
        add({
          run(view, needs) {
            try {
              const done = needs.attempt(() => run(view));
              if (done) resolve(done.value);
              return done !== undefined;
            } catch (error) {
              reject(error);
              return true;
            }
          },
          fetch: undefined,
          reject,
          since: performance.now(),
        });
      });
    },
    query(fetch) {
      return new Promise((resolve, reject) => {
        add({
          run: () => false,
          fetch: async (connection, state) => resolve(await fetch(connection, state)),
          reject,
          since: performance.now(),
        });
      });
    },
    async close() {
      closed = true;
      for (const job of queue.splice(0)) job.reject(etcdErrors.stopped());
      await Promise.all(all.map((session) => session.end()));
    },
  };
}

function viewOf(state: State, needs: Needs): ReadView {
  return {
    revision: () => state.revision,
    compactRevision: () => state.compactRevision,
    find: needs.find,
    list: needs.list,
    count: needs.count,
    listAt: needs.listAt,
    countAt: needs.countAt,
    keysOfLease: needs.keysOfLease,
  };
}
