import type { Logger } from "pino";
import { EtcdError, etcdErrors } from "./etcd-error.ts";
import type { Change, Store } from "./store.ts";

export interface CommitQueueDeps {
  readonly store: Pick<Store, "batch">;
  readonly log: Logger;
  /** Called with what a commit changed, before any of its callers is answered. */
  readonly published: (changes: readonly Change[]) => void;
  /** The disk may hold something else than memory: the process must start anew from what is on disk. */
  readonly broken: (error: unknown) => void;
}

/**
 * Group commit: what arrives while the event loop is busy shares one transaction and one fsync; answers are given only after it.
 */
export interface CommitQueue {
  submit<T>(run: () => T): Promise<T>;
  /** Refuses new work and waits for what is queued. */
  close(): Promise<void>;
}

interface Job {
  readonly run: () => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

/** Bounds how long one batch holds the event loop, and so how long reads wait: about 10 ms of work. */
const maxBatch = 512;

export function createCommitQueue({ store, log, published, broken }: CommitQueueDeps): CommitQueue {
  let queue: Job[] = [];
  let scheduled = false;
  let closed = false;
  let idle: (() => void) | undefined;

  const schedule = () => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(flush);
  };

  function flush(): void {
    scheduled = false;
    const jobs = queue.length > maxBatch ? queue.splice(0, maxBatch) : queue;
    if (jobs === queue) queue = [];
    if (!runBatch(jobs)) {
      // A failure nobody foresaw: find its owner by giving each its own transaction.
      for (const job of jobs) if (!runBatch([job], true)) break;
    }
    if (queue.length > 0) schedule();
    else idle?.();
  }

  /** False: rolled back, nothing answered. Alone, a job is always answered. */
  function runBatch(jobs: readonly Job[], alone = false): boolean {
    const answers: (() => void)[] = [];
    let changes: readonly Change[];
    try {
      changes = store.batch(() => {
        for (const job of jobs) answers.push(attempt(job));
      });
    } catch (error) {
      if (!alone) return false;
      for (const job of jobs) job.reject(isDiskFull(error) ? etcdErrors.noSpace() : error);
      if (isDiskFull(error)) return true;
      log.error({ err: error }, "Write failed");
      if (!isStorageFailure(error)) return true;
      closed = true;
      for (const job of queue.splice(0)) job.reject(etcdErrors.stopped());
      broken(error);
      return true;
    }
    published(changes);
    for (const answer of answers) answer();
    return true;
  }

  return {
    submit<T>(run: () => T): Promise<T> {
      if (closed) return Promise.reject(etcdErrors.stopped());
      return new Promise<T>((resolve, reject) => {
        queue.push({ run, resolve, reject });
        schedule();
      });
    },
    close() {
      closed = true;
      if (queue.length === 0) return Promise.resolve();
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

function sqliteCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

const isDiskFull = (error: unknown): boolean => sqliteCode(error) === "SQLITE_FULL";
const isStorageFailure = (error: unknown): boolean =>
  /^SQLITE_(IOERR|CORRUPT|NOTADB|CANTOPEN|READONLY)/.test(sqliteCode(error));
