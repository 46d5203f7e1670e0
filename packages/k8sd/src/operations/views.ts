import type { OperationStatus } from "@k8sd/api-types";
import type { JournaledOperation } from "../node-db/journal.ts";
import { errorFromJson } from "./outcome.ts";

/** An operation as callers see it. */
export function operationStatus(operation: JournaledOperation): OperationStatus {
  const error = operation.error === undefined ? undefined : errorFromJson(operation.error);
  return {
    id: operation.id,
    kind: operation.kind,
    state: operation.state === "undone" ? (error?.kind === "cancelled" ? "cancelled" : "failed") : operation.state,
    "request-id": operation.requestId,
    "started-at": new Date(operation.createdAt).toISOString(),
    ...(operation.finishedAt === undefined ? {} : { "finished-at": new Date(operation.finishedAt).toISOString() }),
    ...(error === undefined ? {} : { error: error.message }),
    ...(operation.state !== "done" || operation.result === undefined
      ? {}
      : { result: JSON.parse(operation.result) as unknown }),
  };
}
