import type { OperationEvent } from "@k8sd/api-types";
import { AppError } from "../lib/app-error.ts";
import type { Journal, JournaledOperation } from "../node-db/journal.ts";
import { createEventLog } from "./event-log.ts";
import { errorFromJson } from "./outcome.ts";
import type { Json, Plan, Step } from "./plan.ts";
import type { OperationRun } from "./runner.ts";

/** The journal keeps the last state of each step. */
export function pastEvents(operation: JournaledOperation, journal: Pick<Journal, "steps">): readonly OperationEvent[] {
  const plan = JSON.parse(operation.plan) as Plan<Step>;
  return journal.steps(operation.id).map((entry) => ({
    operation: operation.id,
    kind: operation.kind,
    step: entry.step + 1,
    of: plan.steps.length,
    title: plan.steps[entry.step]?.title ?? "",
    state: entry.state,
    elapsedMs: entry.elapsedMs,
  }));
}

/** An operation that is over, for whoever asks for it again. */
export function replay(operation: JournaledOperation, journal: Pick<Journal, "steps">): OperationRun {
  const plan = JSON.parse(operation.plan) as Plan<Step>;
  const events = createEventLog(pastEvents(operation, journal));
  events.end();
  const result =
    operation.state === "done"
      ? Promise.resolve(operation.result === undefined ? plan.result : (JSON.parse(operation.result) as Json))
      : Promise.reject(
          operation.error === undefined
            ? new AppError("cancelled", `cannot finish ${operation.kind}: it was taken back`)
            : errorFromJson(operation.error),
        );
  result.catch(() => {
    // The caller that asked for the operation gets it; a replay that nobody awaits is no fault.
  });
  return { id: operation.id, events: events.read(), result };
}
