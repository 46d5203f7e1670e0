import { randomUUID } from "node:crypto";
import type { OperationEvent } from "@k8sd/api-types";
import type { Logger } from "pino";
import { AppError, errorText, isKind } from "../lib/app-error.ts";
import { sleep } from "../lib/wait.ts";
import type { Journal, JournaledOperation } from "../node-db/journal.ts";
import type { BoundaryHook } from "./boundary.ts";
import { createEventLog } from "./event-log.ts";
import { createExecution } from "./execution.ts";
import { errorToJson, failureOf, timeoutError } from "./outcome.ts";
import type { Executor, Executors, Json, OperationKind, Plan, Step } from "./plan.ts";
import { pastEvents, replay } from "./replay.ts";

export interface OperationRun {
  readonly id: string;
  /** From the first event on, also for a reader that comes late. */
  readonly events: AsyncIterable<OperationEvent>;
  /** Settles when nothing of the operation is under way any more: done, or failed and taken back. */
  readonly result: Promise<Json>;
}

export interface StartOptions {
  /** Input that must not stand in the plan. */
  readonly secret?: string;
  /** Time for the steps. Taking them back has its own. */
  readonly timeoutMs: number;
}

export interface Runner {
  register<S extends Step>(kind: OperationKind, executors: Executors<S>): void;
  /** Starts a plan, or gives the operation that the same request started before. */
  start<S extends Step>(plan: Plan<S>, options: StartOptions): OperationRun;
  find(requestId: string): OperationRun | undefined;
  /** What happened in an operation so far. */
  events(id: string): readonly OperationEvent[];
  list(): readonly JournaledOperation[];
  /**
   * Ends what is final of these kinds and does not get on, without taking anything back: somebody else finishes it, or what
   * comes in its place makes it pointless. Otherwise it would be tried for ever, and nothing else could begin.
   */
  giveUp(kinds: readonly OperationKind[], reason: AppError, only?: (input: object) => boolean): Promise<void>;
  /** Takes back what is not yet final. False: there is no such operation, or it is final or over. */
  cancel(id: string): boolean;
  /**
   * Takes back, as part of another operation, the newest of these kinds that was done: in the reverse order of its steps, with
   * what they recorded. May be called again after a crash in its middle. Resolves to false when something could not be taken back.
   */
  takeBack(kinds: readonly OperationKind[], reason: AppError, context: TakeBackContext): Promise<boolean>;
  /** After a start: finishes or takes back what a crash left. Resolves when all of it is settled. */
  recover(): Promise<void>;
  /** Interrupts what runs; the journal lets the next start go on. */
  stop(): Promise<void>;
}

export interface TakeBackContext {
  readonly signal: AbortSignal;
  readonly onEvent: (event: OperationEvent) => void;
}

export interface RunnerDeps {
  readonly journal: Journal;
  readonly log: Logger;
  readonly now: () => number;
  readonly boundary?: BoundaryHook;
}

/** Longer than the slowest undo (stopping every service by its own deadline). */
const undoTimeoutMs = 10 * 60_000;
const againMs = 1_000;

interface Live {
  readonly run: OperationRun;
  readonly requestId: string;
  readonly kind: string;
  readonly abort: AbortController;
  readonly committed: () => boolean;
  readonly seen: () => readonly OperationEvent[];
}

class DaemonStopping extends Error {
  constructor() {
    super("k8sd is stopping");
  }
}

export function createRunner(deps: RunnerDeps): Runner {
  const { journal, log } = deps;
  const executors = new Map<OperationKind, Readonly<Record<string, Executor<Step>>>>();
  const stopping = new AbortController();
  let live: Live | undefined;

  function launch(
    operation: { id: string; requestId: string },
    plan: Plan<Step>,
    timeoutMs: number,
    how: "new" | "resume",
  ): OperationRun {
    const kinds = executors.get(plan.operation);
    if (kinds === undefined) throw new Error(`no executors for operation ${plan.operation}`);
    const events = createEventLog();
    const abort = new AbortController();
    const execution = createExecution({
      id: operation.id,
      plan,
      executors: kinds,
      journal,
      log,
      boundary: deps.boundary,
      emit: events.add,
      now: deps.now,
    });

    async function carryOut(): Promise<Json> {
      const timeout = AbortSignal.timeout(timeoutMs);
      const signal = AbortSignal.any([abort.signal, timeout, stopping.signal]);
      const resumeBackward = how === "resume" && !execution.committed() && !execution.uncertain();
      try {
        if (resumeBackward) throw execution.reason();
        return await execution.forward(signal);
      } catch (error) {
        // A daemon that stops leaves the journal as it is: the next start decides by it.
        if (stopping.signal.aborted)
          throw new AppError("unavailable", `cannot finish ${plan.operation}: k8sd is stopping`, { cause: error });
        const step = execution.standing();
        // What a step was at when it was cancelled says nothing; that it was does.
        const cause = abort.signal.aborted && isKind(error, "cancelled") ? abort.signal.reason : error;
        const reason = timeout.aborted
          ? timeoutError(plan.operation, timeoutMs, step, error)
          : failureOf(`finish ${plan.operation} at ${JSON.stringify(step)}`, cause);
        if (execution.committed()) throw reason;
        const clean = await execution.backward(
          reason,
          AbortSignal.any([AbortSignal.timeout(undoTimeoutMs), stopping.signal]),
        );
        if (!clean)
          log.error(
            { operation: operation.id },
            "Operation is not fully taken back; the next start of k8sd tries again",
          );
        throw reason;
      }
    }

    const result = carryOut().finally(() => {
      events.end();
      live = undefined;
    });
    // Nobody may be listening (a restart resumes by itself); the journal holds the outcome.
    result.catch((error: unknown) => {
      log.info({ operation: operation.id, error: errorText(error) }, "Operation ended with an error");
      if (execution.committed()) void goOn(operation, plan);
    });
    const run = {
      id: operation.id,
      events: { [Symbol.asyncIterator]: () => events.read()[Symbol.asyncIterator]() },
      result,
    };
    live = {
      run,
      requestId: operation.requestId,
      kind: plan.operation,
      abort,
      committed: execution.committed,
      seen: events.seen,
    };
    return run;
  }

  /** What is final is finished by itself, although the time of whoever began it is over. */
  async function goOn(operation: { id: string; requestId: string }, plan: Plan<Step>): Promise<void> {
    await sleep(againMs, stopping.signal).catch(() => {
      // The next start of the daemon goes on.
    });
    if (stopping.signal.aborted || live !== undefined) return;
    const isOver = journal.byId(operation.id)?.finishedAt !== undefined;
    if (!isOver) launch(operation, plan, undoTimeoutMs, "resume");
  }

  function find(requestId: string): OperationRun | undefined {
    if (live?.requestId === requestId) return live.run;
    const known = journal.byRequest(requestId);
    return known && replay(known, journal);
  }

  return {
    find,
    register: (kind, table) => {
      executors.set(kind, table as unknown as Readonly<Record<string, Executor<Step>>>);
    },
    start: (plan, options) => {
      const known = find(plan.requestId);
      if (known !== undefined) return known;
      if (live !== undefined) {
        throw new AppError("conflict", `cannot start ${plan.operation}: a ${live.kind} is under way`, {
          remedy: `Wait until operation ${live.run.id} ends, or cancel it.`,
          retryable: true,
        });
      }
      const [left] = journal.unfinished();
      if (left !== undefined) {
        // What it still has to take back could be what the new one makes.
        launch(left, JSON.parse(left.plan) as Plan<Step>, undoTimeoutMs, "resume");
        throw new AppError(
          "conflict",
          `cannot start ${plan.operation}: an earlier ${left.kind} is not fully taken back`,
          {
            remedy:
              "k8sd is at it again now: try again in a moment, and look at the log of k8sd if that does not help.",
            retryable: true,
          },
        );
      }
      const id = randomUUID();
      const { requestId, operation: kind } = plan;
      try {
        journal.begin({ id, requestId, kind, plan: JSON.stringify(plan), secret: options.secret });
      } catch (error) {
        throw failureOf(`start ${kind}`, error);
      }
      return launch({ id, requestId }, plan, options.timeoutMs, "new");
    },
    events: (id) => {
      if (live?.run.id === id) return live.seen();
      const operation = journal.byId(id);
      return operation === undefined ? [] : pastEvents(operation, journal);
    },
    list: () => journal.latest(50),
    giveUp: async (kinds, reason, only = () => true) => {
      for (const operation of journal.unfinished()) {
        const plan = JSON.parse(operation.plan) as Plan<Step>;
        const isFinal = journal.steps(operation.id).some(({ step, state }) => step === plan.commit && state === "done");
        if (!isFinal || !kinds.includes(plan.operation) || !only(plan.input)) continue;
        journal.finish(operation.id, "undone", { error: errorToJson(reason) });
        if (live?.run.id !== operation.id) continue;
        live.abort.abort(reason);
        await live.run.result.catch(() => {
          // This is what it ends with.
        });
      }
    },
    cancel: (id) => {
      if (live?.run.id !== id || live.committed()) return false;
      live.abort.abort(new AppError("cancelled", `cannot finish ${live.kind}: it was cancelled`));
      return true;
    },
    takeBack: async (kinds, reason, { signal, onEvent }) => {
      const newest = journal.newest(kinds);
      const table = newest && executors.get(newest.kind as OperationKind);
      if (newest === undefined || table === undefined) return true;
      const execution = createExecution({
        id: newest.id,
        plan: JSON.parse(newest.plan) as Plan<Step>,
        executors: table,
        journal,
        log,
        boundary: undefined,
        emit: onEvent,
        now: deps.now,
      });
      return await execution.backward(reason, signal);
    },
    recover: async () => {
      for (const operation of journal.unfinished()) {
        log.info(
          { operation: operation.id, kind: operation.kind, state: operation.state },
          "Settling an interrupted operation",
        );
        // A caller may have come before: what it began, or made us take back, is under way already.
        const run =
          live?.run.id === operation.id
            ? live.run
            : launch(operation, JSON.parse(operation.plan) as Plan<Step>, undoTimeoutMs, "resume");
        await run.result.catch(() => {
          // Logged by launch: an interrupted operation that was taken back is the expected outcome here.
        });
      }
    },
    stop: async () => {
      stopping.abort(new DaemonStopping());
      await live?.run.result.catch(() => {
        // Interrupted on purpose.
      });
    },
  };
}
