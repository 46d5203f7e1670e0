import type { OperationEvent } from "@k8sd/api-types";
import type { Logger } from "pino";
import { AppError, errorText } from "../lib/app-error.ts";
import { sleep } from "../lib/wait.ts";
import type { Journal } from "../node-db/journal.ts";
import type { BoundaryHook, BoundaryMoment } from "./boundary.ts";
import { errorFromJson, errorToJson } from "./outcome.ts";
import type { Executor, Json, Plan, Step, StepContext } from "./plan.ts";

/** Attempts for a step that cannot be undone at once (a process that is slow to die), before the undo goes on without it. */
const undoAttempts = 3;

/** A failure after the point of no return is tried again at this pace until it works or the caller's time is over. */
const resumePauseMs = 1_000;

export interface ExecutionDeps {
  readonly id: string;
  readonly plan: Plan<Step>;
  readonly executors: Readonly<Record<string, Executor<Step>>>;
  readonly journal: Journal;
  readonly log: Logger;
  readonly boundary: BoundaryHook | undefined;
  readonly emit: (event: OperationEvent) => void;
  readonly now: () => number;
}

/** Carries one journaled plan to its end, from wherever the journal says it stands. */
export function createExecution(deps: ExecutionDeps) {
  const { id, plan, journal, log } = deps;
  let stepStartedAt = deps.now();
  let standing = "";
  let conclusion: string | undefined;

  function emit(index: number, state: OperationEvent["state"], note?: string): void {
    deps.emit({
      operation: id,
      kind: plan.operation,
      step: index + 1,
      of: plan.steps.length,
      title: stepAt(index).title,
      state,
      elapsedMs: deps.now() - stepStartedAt,
      ...(note === undefined ? {} : { note }),
    });
  }

  function stepAt(index: number): Step {
    const step = plan.steps[index];
    if (step === undefined) throw new Error(`plan ${plan.operation} has no step ${index}`);
    return step;
  }

  function executorOf(step: Step): Executor<Step> {
    const executor = deps.executors[step.kind];
    if (executor === undefined) throw new Error(`no executor for step ${step.kind}`);
    return executor;
  }

  function contextOf(index: number, signal: AbortSignal): StepContext {
    const note = journal.steps(id).find((entry) => entry.step === index)?.note;
    return {
      signal,
      progress: ({ done, of, note: text }) =>
        emit(index, "progress", `${done}/${of}${text === undefined ? "" : ` ${text}`}`),
      note: note === undefined ? undefined : (JSON.parse(note) as Json),
      conclude: (text) => {
        conclusion = text;
      },
      add: (result) => journal.add(id, JSON.stringify(result)),
      added,
      remember: (value) => journal.note(id, index, JSON.stringify(value)),
      commit: (write) => journal.commit(id, index, write),
      input: plan.input,
      secret: journal.secret(id),
    };
  }

  function added(): Readonly<Record<string, Json>> {
    const text = journal.byId(id)?.result;
    return text === undefined ? {} : (JSON.parse(text) as Record<string, Json>);
  }

  /** Runs `work` with the fault points around it; "in" is reached while the work is under way. */
  async function bounded(index: number, phase: "run" | "undo", work: () => Promise<void>): Promise<void> {
    const at = (moment: BoundaryMoment): Promise<void> => deps.boundary?.(id, index, moment) ?? Promise.resolve();
    await at(`before-${phase}`);
    await Promise.all([work(), at(`in-${phase}`)]);
    await at(`after-${phase}`);
  }

  async function runStep(index: number, signal: AbortSignal): Promise<void> {
    const step = stepAt(index);
    signal.throwIfAborted();
    journal.step(id, index, "started");
    stepStartedAt = deps.now();
    standing = step.title;
    conclusion = undefined;
    emit(index, "started");
    await bounded(index, "run", () => executorOf(step).run(step, contextOf(index, signal)));
    journal.step(id, index, "done");
    emit(index, "done", conclusion);
  }

  /**
   * Taking back goes on without the journal, on a disk that is full for example: a step whose undo is not recorded is
   * taken back once more, which does no harm.
   */
  function tryToRecord(write: () => void): boolean {
    try {
      write();
      return true;
    } catch (error) {
      log.warn({ operation: id, error: errorText(error) }, "Cannot write the journal");
      return false;
    }
  }

  async function undoStep(index: number, signal: AbortSignal): Promise<boolean> {
    const step = stepAt(index);
    const undo = executorOf(step).undo;
    stepStartedAt = deps.now();
    tryToRecord(() => journal.step(id, index, "undoing"));
    if (undo !== undefined) emit(index, "undoing");
    for (let attempt = 1; ; attempt += 1) {
      try {
        await bounded(index, "undo", () => undo?.(step, contextOf(index, signal)) ?? Promise.resolve());
        break;
      } catch (error) {
        log.warn({ operation: id, step: step.kind, attempt, error: errorText(error) }, "Cannot undo step");
        if (attempt === undoAttempts || signal.aborted) return false;
        await sleep(attempt * 500, signal);
      }
    }
    if (undo !== undefined) emit(index, "undone");
    tryToRecord(() => journal.step(id, index, "undone"));
    return true;
  }

  return {
    /** Runs what is not done, and gives the result. Before the point of no return the first error ends it; after, it is tried until `signal` ends. */
    async forward(signal: AbortSignal): Promise<Json> {
      const done = new Set(journal.steps(id).flatMap((entry) => (entry.state === "done" ? [entry.step] : [])));
      for (const index of plan.steps.keys()) {
        if (done.has(index)) continue;
        for (;;) {
          try {
            await runStep(index, signal);
            break;
          } catch (error) {
            emit(index, "failed", errorText(error));
            if (index <= plan.commit || signal.aborted) throw error;
            log.warn(
              { operation: id, step: stepAt(index).kind, error: errorText(error) },
              "Cannot finish step, trying again",
            );
            await sleep(resumePauseMs, signal);
          }
        }
      }
      const more = added();
      const whole = Object.keys(more).length === 0 ? plan.result : { ...(plan.result as object), ...more };
      journal.finish(id, "done", { result: JSON.stringify(whole) });
      return whole;
    },

    /** Takes back every step that was started, last first. Resolves to false when something could not be taken back. */
    async backward(reason: unknown, signal: AbortSignal): Promise<boolean> {
      tryToRecord(() => journal.undoing(id, errorToJson(reason)));
      const touched = journal.steps(id).filter((entry) => entry.state !== "undone");
      let clean = true;
      for (const entry of touched.toReversed()) {
        clean = (await undoStep(entry.step, signal)) && clean;
      }
      return clean && tryToRecord(() => journal.finish(id, "undone", { error: errorToJson(reason) }));
    },

    /** True when the step that makes the change final is done. */
    committed: (): boolean => journal.steps(id).some((entry) => entry.step === plan.commit && entry.state === "done"),

    /** True when a crash left it open whether somebody else has passed the point of no return. */
    uncertain: (): boolean =>
      plan.commitsElsewhere === true &&
      journal.byId(id)?.state === "running" &&
      journal.steps(id).some((entry) => entry.step === plan.commit && entry.state === "started"),

    /** Title of the step that was started last. */
    standing: (): string => standing,

    /** The recorded reason of an undo under way. */
    reason: (): AppError => {
      const text = journal.byId(id)?.error;
      return text === undefined
        ? new AppError("cancelled", `cannot finish ${plan.operation}: k8sd was stopped before it was complete`)
        : errorFromJson(text);
    },
  };
}
