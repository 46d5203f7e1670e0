import { z } from "zod";
import { timestamp } from "./bounds.ts";

/** What callers see of a step of an operation, as it happens. */
export const operationEvent = z.object({
  /** Id of the operation. */
  operation: z.string(),
  /** "bootstrap", "join", … */
  kind: z.string(),
  /** 1-based position of the step in the plan. */
  step: z.int().min(1),
  of: z.int().min(1),
  title: z.string(),
  state: z.enum(["started", "progress", "done", "failed", "undoing", "undone"]),
  /** Since the step began. */
  elapsedMs: z.number().min(0),
  note: z.string().optional(),
});
export type OperationEvent = z.infer<typeof operationEvent>;

export const operationStatus = z.object({
  id: z.string(),
  kind: z.string(),
  state: z.enum(["running", "undoing", "done", "failed", "cancelled"]),
  /** Asking again with the same request id gives the same operation. */
  "request-id": z.string(),
  "started-at": timestamp,
  "finished-at": timestamp.optional(),
  /** Why it failed or was given up. */
  error: z.string().optional(),
  /** What whoever began it was answered with. */
  result: z.unknown().optional(),
});
export type OperationStatus = z.infer<typeof operationStatus>;

export const listOperationsResponse = z.object({ operations: z.array(operationStatus) });
export type ListOperationsResponse = z.infer<typeof listOperationsResponse>;

export const getOperationResponse = z.object({ operation: operationStatus, events: z.array(operationEvent) });
export type GetOperationResponse = z.infer<typeof getOperationResponse>;
