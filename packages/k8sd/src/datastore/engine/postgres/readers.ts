import { etcdErrors } from "../etcd-error.ts";
import type { ReadView } from "../store.ts";
import { type Connect, type Connection, isLost, patienceMs, retryMs } from "./connection.ts";
import type { Follower } from "./follower.ts";
import { createKeyReads } from "./key-reads.ts";
import { createNeeds, type Needs, rehearse } from "./needs.ts";
import { type State, stateColumns, toState } from "./schema.ts";
import { createSession, planOnce, type Session } from "./session.ts";

export interface Readers {
  /** On a snapshot taken after the call. The work may run several times. */
  read<T>(run: (view: ReadView) => T): Promise<T>;
  /** The same for reads that need no run: straight from the connection. */
  query<T>(fetch: (connection: Connection, state: State) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Either of the two; its promise is settled by the first one that gives a value. */
interface Job {
  readonly run: ((view: ReadView) => unknown) | undefined;
  readonly fetch: ((connection: Connection, state: State) => Promise<unknown>) | undefined;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
  readonly since: number;
}

/** Connections for reads: a long list holds up those alone that came with it. */
const sessions = 4;
/** Reads that share a snapshot. */
const maxShared = 64;
/** Reads wait for those under way, to share the next snapshot, unless these take longer. */
const shareMs = 5;

const begin = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT ${stateColumns} FROM state`;

export function createReaders(connect: Connect, lookout: Follower["lookout"]): Readers {
  const free: Session[] = Array.from({ length: sessions }, () => createSession(connect));
  const ofKeys = createSession(connect, planOnce);
  const all = [...free, ofKeys];
  let queue: Job[] = [];
  let closed = false;
  let newestStart = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  /** Good enough to find out what a read asks for before its snapshot is there. */
  let lastState: State | undefined;

  const keyReads = createKeyReads({
    session: ofKeys,
    lookout,
    viewOf,
    learned: (state) => {
      lastState = state;
    },
  });

  function kick(): void {
    const session = free.at(-1);
    if (queue.length === 0 || session === undefined) return;
    const waitMs = free.length < sessions ? newestStart + shareMs - performance.now() : 0;
    if (waitMs > 0) {
      timer ??= setTimeout(() => {
        timer = undefined;
        kick();
      }, waitMs);
      return;
    }
    free.pop();
    newestStart = performance.now();
    void serve(session, queue.splice(0, maxShared)).finally(() => {
      free.push(session);
      kick();
    });
  }

  async function serve(session: Session, jobs: readonly Job[]): Promise<void> {
    const open = new Set(jobs);
    try {
      await session.use((connection) => answer(connection, open));
    } catch (error) {
      // Reading again does no harm; after a failure that is not the connection's, each reads alone.
      const oldest = performance.now() - patienceMs;
      const mayTry = (job: Job) => !closed && job.since > oldest && (isLost(error) || open.size > 1);
      const again = [...open].filter(mayTry);
      for (const job of open) if (!mayTry(job)) job.reject(isLost(error) ? etcdErrors.noLeader() : error);
      if (again.length === 0) return;
      if (isLost(error)) {
        await new Promise((resolve) => setTimeout(resolve, retryMs));
        queue = [...again, ...queue];
      } else for (const job of again) await serve(session, [job]);
    }
  }

  async function answer(connection: Connection, open: Set<Job>): Promise<void> {
    const needs = createNeeds();
    const look = lookout();
    if (lastState !== undefined) {
      const guess = viewOf(lastState, needs);
      for (const { run } of open) if (run) rehearse(() => run(guess));
    }
    const [[row]] = await Promise.all([connection.rows(begin), needs.fetch(connection)]);
    const state = toState(row);
    look(state);
    lastState = state;
    const view = viewOf(state, needs);
    const fetched = Promise.all(
      [...open].map(async (job) => {
        if (!job.fetch) return;
        job.resolve((await job.fetch(connection, state)) as never);
        open.delete(job);
      }),
    );
    // Its failure is taken below; until then it is nobody's.
    fetched.catch(() => {});
    for (;;) {
      for (const job of open) if (job.run && settle(job, needs, view)) open.delete(job);
      if (![...open].some(({ run }) => run)) break;
      await needs.fetch(connection);
    }
    await fetched;
    await connection.rows("COMMIT");
  }

  function add(asked: Omit<Job, "since">): void {
    const job: Job = { ...asked, since: performance.now() };
    const { run, resolve, reject } = job;
    const otherwise = () => enqueue(job);
    const taken = !closed && run && lastState && keyReads.take({ run, resolve, reject, otherwise }, lastState);
    if (!taken) enqueue(job);
  }

  function enqueue(job: Job): void {
    if (closed) {
      job.reject(etcdErrors.stopped());
      return;
    }
    queue.push(job);
    // What arrives in the same turn shares a snapshot.
    if (queue.length === 1) setImmediate(kick);
  }

  return {
    read: (run) => new Promise((resolve, reject) => add({ run, fetch: undefined, resolve, reject })),
    query: (fetch) => new Promise((resolve, reject) => add({ run: undefined, fetch, resolve, reject })),
    async close() {
      closed = true;
      clearTimeout(timer);
      for (const job of queue.splice(0)) job.reject(etcdErrors.stopped());
      await Promise.all(all.map((session) => session.end()));
    },
  };
}

/** False: something is missing. */
function settle(job: Job, needs: Needs, view: ReadView): boolean {
  try {
    const done = needs.attempt(() => job.run?.(view));
    if (done) job.resolve(done.value as never);
    return done !== undefined;
  } catch (error) {
    job.reject(error);
    return true;
  }
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
