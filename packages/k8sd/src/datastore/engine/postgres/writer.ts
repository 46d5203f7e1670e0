import type { Logger } from "pino";
import { EtcdError, etcdErrors } from "../etcd-error.ts";
import { type Batch, type BatchStore, createBatch, TooEarly } from "./batch.ts";
import { type Connection, isLost, isPassing, patienceMs, retryMs, type Sql, sqlState } from "./connection.ts";
import type { Follower } from "./follower.ts";
import { createKnownKeys, createSuppositions } from "./known-keys.ts";
import { createNeeds, type Needs } from "./needs.ts";
import { findKeys } from "./queries.ts";
import { type State, stateColumns, toState } from "./schema.ts";
import type { Session } from "./session.ts";
import { writeAtOnce, writeBatch } from "./write-batch.ts";

export interface WriterDeps {
  readonly session: Session;
  /** Told with each commit, so that the server knows its own. */
  readonly serverId: string;
  readonly log: Logger;
  readonly lookout: Follower["lookout"];
  /** Called with what a commit changed, before any of its callers is answered. */
  readonly committed: (before: State, written: Batch["written"]) => void;
}

/** Group commit: what arrives while a batch is under way shares the next transaction. */
export interface Writer {
  /** For the work of a batch, which may run several times. */
  readonly running: BatchStore;
  submit<T>(run: () => T): Promise<T>;
  /** Refuses new work and waits for what is queued. */
  close(): Promise<void>;
}

interface Job {
  readonly run: () => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
  readonly since: number;
}

/** What became of each job of a batch. */
interface Decided {
  readonly answers: (() => void)[];
  readonly later: Job[];
  readonly batch: Batch;
}

/** Bounds how long one batch holds the event loop and the others' writes. */
const maxBatch = 256;
const diskFull = "53100";

const lock: Sql = { name: "lock-state", text: `SELECT ${stateColumns} FROM state FOR UPDATE` };

export function createWriter({ session, serverId, log, lookout, committed }: WriterDeps): Writer {
  let queue: Job[] = [];
  let busy = false;
  let closed = false;
  let idle: (() => void) | undefined;
  let current: BatchStore | undefined;
  let lastState: State | undefined;
  const known = createKnownKeys();
  /** The session in which `known` and the last state were learned: another one may be with a database that went back. */
  let knownBy: Connection | undefined;
  /** Nobody else wrote between our last two batches: it is worth trying whether it is still so. */
  let alone = false;

  const schedule = (afterMs = 0): void => {
    if (busy) return;
    busy = true;
    if (afterMs > 0) setTimeout(() => void flush(), afterMs);
    else setImmediate(() => void flush());
  };

  async function flush(): Promise<void> {
    const jobs = queue.splice(0, maxBatch);
    const pauseMs = jobs.length > 0 ? await commit(jobs) : 0;
    busy = false;
    if (queue.length > 0) schedule(pauseMs);
    else idle?.();
  }

  /** Gives how long to wait before the next batch. */
  async function commit(jobs: readonly Job[]): Promise<number> {
    const progress = { sent: false };
    try {
      await session.use((connection) => runBatch(connection, jobs, progress));
      return 0;
    } catch (error) {
      if (progress.sent && isLost(error)) {
        log.warn({ err: error, writes: jobs.length }, "Lost PostgreSQL while it committed");
        for (const job of jobs) job.reject(etcdErrors.connectionLost());
        return retryMs;
      }
      if (isLost(error) || isPassing(error)) return retryOrRefuse(jobs, error);
      if (jobs.length > 1) {
        // A failure nobody foresaw: find its owner by giving each its own transaction.
        for (const job of jobs) await commit([job]);
        return 0;
      }
      log.error({ err: error }, "Write failed");
      jobs[0]?.reject(sqlState(error) === diskFull ? etcdErrors.noSpace() : error);
      return 0;
    }
  }

  /** Nothing was committed: the same work can be tried again. */
  function retryOrRefuse(jobs: readonly Job[], error: unknown): number {
    const oldest = performance.now() - patienceMs;
    const patient = closed ? [] : jobs.filter(({ since }) => since > oldest);
    for (const job of jobs) if (!patient.includes(job)) job.reject(etcdErrors.noLeader());
    if (patient.length < jobs.length) log.warn({ err: error }, "PostgreSQL takes no writes");
    queue = [...patient, ...queue];
    return retryMs;
  }

  async function runBatch(connection: Connection, jobs: readonly Job[], progress: { sent: boolean }): Promise<void> {
    const before = alone && knownBy === connection ? lastState : undefined;
    alone = false;
    if (before && (await tryAtOnce(connection, before, jobs, progress))) alone = true;
    else await runLocked(connection, jobs, progress);
  }

  /** One round trip, where the jobs ask for nothing but keys and nobody else wrote. False: nothing happened. */
  async function tryAtOnce(
    connection: Connection,
    before: State,
    jobs: readonly Job[],
    progress: { sent: boolean },
  ): Promise<boolean> {
    // A second time, when keys exist that were supposed not to.
    for (let wrong = 0; wrong < 2; wrong++) {
      const needs = createSuppositions(known);
      const decided = decideAtOnce(before, needs, jobs);
      if (!decided) return false;
      const { supposed } = needs;
      progress.sent = true;
      const writing = writeAtOnce(connection, decided.batch.written, before.revision, supposed, serverId);
      // Whether it fails says nothing about the write.
      const looking = supposed.length > 0 ? findKeys(connection, supposed).catch(() => []) : [];
      if (await writing) {
        for (const key of supposed) known.set(key, undefined);
        conclude(before, decided);
        return true;
      }
      progress.sent = false;
      const found = await looking;
      if (found.length === 0) return false;
      for (const key of supposed) known.set(key, undefined);
      for (const kv of found) known.set(kv.key, kv);
    }
    return false;
  }

  function decideAtOnce(before: State, needs: Needs, jobs: readonly Job[]): Decided | undefined {
    const failed = new Map<Job, unknown>();
    let decided: Decided | "again" | undefined = "again";
    while (decided === "again") decided = runJobs(before, needs, jobs, failed);
    if (!decided) return undefined;
    const { changes, compactRevision, leases, alarms } = decided.batch.written;
    const keysAlone = compactRevision === before.compactRevision && leases.size === 0 && alarms.size === 0;
    return changes.length > 0 && keysAlone ? decided : undefined;
  }

  /** Two round trips, and nobody else writes between them. */
  async function runLocked(connection: Connection, jobs: readonly Job[], progress: { sent: boolean }): Promise<void> {
    const look = lookout();
    const seen: Parameters<typeof known.set>[] = [];
    const needs = createNeeds((key, kv) => seen.push([key, kv]));
    // What the jobs will ask for is found out on the last state, and fetched once the lock is there: sent together.
    if (lastState) runJobs(lastState, needs, jobs, new Map());
    const begun = [connection.rows("BEGIN"), connection.rows(lock, [])] as const;
    const [, [row]] = await Promise.all([...begun, needs.fetch(connection)]);
    const before = toState(row);
    look(before);
    const decided = await decide(connection, before, needs, jobs);
    const { written } = decided.batch;
    const statements = writeBatch(connection, written, before.compactRevision, serverId);
    progress.sent = statements.length > 0;
    // Sent together: where a statement fails, the commit that follows it is a rollback.
    await Promise.all([...statements, connection.rows(progress.sent ? "COMMIT" : "ROLLBACK")]);
    alone = knownBy === connection && before.revision === lastState?.revision;
    if (!alone) known.forget();
    knownBy = connection;
    for (const each of seen) known.set(...each);
    conclude(before, decided);
  }

  function conclude(before: State, { answers, later, batch }: Decided): void {
    const { written } = batch;
    lastState = { ...before, revision: written.revision, compactRevision: written.compactRevision };
    for (const { type, kv } of written.keys.values()) known.set(kv.key, type === 0 ? kv : undefined);
    queue = [...later, ...queue];
    committed(before, written);
    for (const answer of answers) answer();
  }

  /** Runs the jobs until nothing that they read is missing. */
  async function decide(connection: Connection, before: State, needs: Needs, jobs: readonly Job[]): Promise<Decided> {
    const failed = new Map<Job, unknown>();
    for (;;) {
      const decided = runJobs(before, needs, jobs, failed);
      if (decided === "again") continue;
      if (decided) return decided;
      await needs.fetch(connection);
    }
  }

  /** Undefined: something is missing. "again": a job failed halfway and is left out from now on. */
  function runJobs(
    before: State,
    needs: Needs,
    jobs: readonly Job[],
    failed: Map<Job, unknown>,
  ): Decided | "again" | undefined {
    const batch = createBatch(before, needs);
    const answers: (() => void)[] = [];
    const later: Job[] = [];
    let missing = false;
    current = batch.store;
    try {
      for (const job of jobs) {
        if (failed.has(job)) {
          answers.push(() => job.reject(failed.get(job)));
          continue;
        }
        const writes = batch.writes;
        try {
          const done = needs.attempt(job.run);
          if (done) answers.push(() => job.resolve(done.value as never));
          else missing = true;
        } catch (error) {
          if (batch.writes !== writes || !(error instanceof EtcdError || error instanceof TooEarly)) {
            // What it wrote must not stay; but what it saw may be wrong as long as something is missing.
            if (missing) continue;
            failed.set(job, error);
            return "again";
          }
          if (error instanceof TooEarly) later.push(job);
          else answers.push(() => job.reject(error));
        }
      }
    } finally {
      current = undefined;
    }
    return missing ? undefined : { answers, later, batch };
  }

  const store = (): BatchStore => {
    if (!current) throw new Error("the view of a batch outside of one");
    return current;
  };

  return {
    running: {
      revision: () => store().revision(),
      compactRevision: () => store().compactRevision(),
      find: (key) => store().find(key),
      list: (span, limit) => store().list(span, limit),
      count: (span) => store().count(span),
      listAt: (span, at, limit) => store().listAt(span, at, limit),
      countAt: (span, at) => store().countAt(span, at),
      keysOfLease: (lease) => store().keysOfLease(lease),
      put: (at, key, value, lease) => store().put(at, key, value, lease),
      remove: (at, span) => store().remove(at, span),
      setCompactRevision: (at) => store().setCompactRevision(at),
      leaseExists: (id) => store().leaseExists(id),
      lease: (id) => store().lease(id),
      keepLease: (id, ttl) => store().keepLease(id, ttl),
      endLease: (id) => store().endLease(id),
      setAlarm: (kind, raised) => store().setAlarm(kind, raised),
    },
    submit<T>(run: () => T): Promise<T> {
      if (closed) return Promise.reject(etcdErrors.stopped());
      return new Promise<T>((resolve, reject) => {
        queue.push({ run, resolve, reject, since: performance.now() });
        schedule();
      });
    },
    async close() {
      closed = true;
      if (busy) {
        await new Promise<void>((resolve) => {
          idle = resolve;
        });
      }
      await session.end();
    },
  };
}
