import { setImmediate as turn } from "node:timers/promises";
import type { Logger } from "pino";
import { errorCode } from "../../lib/app-error.ts";
import type { Disk } from "./disk.ts";
import { EtcdError, etcdErrors } from "./etcd-error.ts";
import type { Change, Store } from "./store.ts";

export interface CommitQueueDeps {
  readonly store: Pick<Store, "batch" | "hold" | "settle" | "forsake">;
  readonly disk: Pick<Disk, "sync" | "syncHere" | "quick" | "longLog" | "shortenLog">;
  readonly log: Logger;
  /** Called with what a commit changed, before any of its callers is answered. */
  readonly published: (changes: readonly Change[]) => void;
  /** The disk may hold something else than memory: the process must start anew from what is on disk. */
  readonly broken: (error: unknown) => void;
}

/**
 * Group commit: what arrives while the disk makes a batch durable shares the next transaction and its fsync; answers are given
 * only after it. The event loop is free meanwhile, and readers see the state before. A write without company on a quick disk
 * is made durable where it runs: the way to another thread and back takes as long as the disk.
 */
export interface CommitQueue {
  submit<T>(run: () => T): Promise<T>;
  /** Runs when nothing is being committed, and keeps commits waiting until it is done. */
  rest(run: () => Promise<void>): Promise<void>;
  /** Refuses new work and waits for what is queued. */
  close(): Promise<void>;
}

interface Job {
  readonly run: () => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

interface Rest {
  readonly run: () => Promise<void>;
  readonly reject: (error: unknown) => void;
}

/** What is known once a transaction ended, to be told when it is durable. */
interface Outcome {
  readonly answers: (() => void)[];
  readonly changes: Change[];
}

/** Bounds how long one batch holds the event loop, and so how long reads wait: about 5 ms of work. */
const maxBatch = 128;

export function createCommitQueue({ store, disk, log, published, broken }: CommitQueueDeps): CommitQueue {
  let queue: Job[] = [];
  const rests: Rest[] = [];
  let busy = false;
  let closed = false;
  let company = false;
  let idle: (() => void) | undefined;

  const schedule = () => {
    if (busy) return;
    busy = true;
    setImmediate(() => void flush());
  };

  async function flush(): Promise<void> {
    const jobs = queue.length > maxBatch ? queue.splice(0, maxBatch) : queue;
    if (jobs === queue) queue = [];
    const outcome: Outcome = { answers: [], changes: [] };
    const alone = jobs.length === 1 && !company && disk.quick();
    company = jobs.length > 1;
    try {
      if (alone) commitHere(jobs, outcome);
      else await commit(jobs, outcome);
      published(outcome.changes);
      for (const answer of outcome.answers) answer();
      if (disk.longLog()) {
        // The answers leave before the event loop is busy with the log.
        await turn();
        await disk.shortenLog();
      }
      for (const rest of rests.splice(0)) await rest.run();
    } catch (error) {
      log.error({ err: error }, "The disk does not keep what is written");
      for (const job of jobs) job.reject(etcdErrors.stopped());
      breakDown(error);
    }
    busy = false;
    if (queue.length > 0 || rests.length > 0) schedule();
    else idle?.();
  }

  async function commit(jobs: readonly Job[], outcome: Outcome): Promise<void> {
    store.hold();
    runJobs(jobs, outcome);
    await disk.sync();
    store.settle();
  }

  /** Nobody reads between the commit and its end, so nothing has to be held for readers, unless the disk fails. */
  function commitHere(jobs: readonly Job[], outcome: Outcome): void {
    runJobs(jobs, outcome);
    try {
      disk.syncHere();
    } catch (error) {
      store.forsake();
      throw error;
    }
  }

  function runJobs(jobs: readonly Job[], outcome: Outcome): void {
    try {
      runBatch(jobs, outcome);
    } catch {
      // A failure nobody foresaw: find its owner by giving each its own transaction.
      for (const job of jobs) {
        if (closed) job.reject(etcdErrors.stopped());
        else runAlone(job, outcome);
      }
    }
  }

  /** When it throws, nothing happened. */
  function runBatch(jobs: readonly Job[], outcome: Outcome): void {
    const answers: (() => void)[] = [];
    const changes = store.batch(() => {
      for (const job of jobs) answers.push(attempt(job));
    });
    // One by one: a range that was deleted may hold more changes than a call takes arguments.
    for (const answer of answers) outcome.answers.push(answer);
    for (const change of changes) outcome.changes.push(change);
  }

  function runAlone(job: Job, outcome: Outcome): void {
    try {
      runBatch([job], outcome);
    } catch (error) {
      job.reject(isDiskFull(error) ? etcdErrors.noSpace() : error);
      if (isDiskFull(error)) return;
      log.error({ err: error }, "Write failed");
      if (isStorageFailure(error)) breakDown(error);
    }
  }

  function breakDown(error: unknown): void {
    closed = true;
    for (const waiting of [...queue.splice(0), ...rests.splice(0)]) waiting.reject(etcdErrors.stopped());
    broken(error);
  }

  return {
    submit<T>(run: () => T): Promise<T> {
      if (closed) return Promise.reject(etcdErrors.stopped());
      return new Promise<T>((resolve, reject) => {
        queue.push({ run, resolve, reject });
        schedule();
      });
    },
    rest(run) {
      if (closed) return Promise.reject(etcdErrors.stopped());
      return new Promise((resolve, reject) => {
        rests.push({ run: () => run().then(resolve, reject), reject });
        schedule();
      });
    },
    close() {
      closed = true;
      if (!busy) return Promise.resolve();
      return new Promise((resolve) => {
        idle = resolve;
      });
    },
  };
}

/** A refusal is the caller's own: it changed nothing and the batch goes on. */
function attempt(job: Job): () => void {
  try {
    const value = job.run() as never;
    return () => job.resolve(value);
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    return () => job.reject(error);
  }
}

const isDiskFull = (error: unknown): boolean => errorCode(error) === "SQLITE_FULL";
const isStorageFailure = (error: unknown): boolean =>
  /^SQLITE_(IOERR|CORRUPT|NOTADB|CANTOPEN|READONLY)/.test(String(errorCode(error)));
