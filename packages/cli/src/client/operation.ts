import type { OperationEvent } from "@k8sd/api-types";
import { type Client, deadline, pause, queryError } from "./client.ts";
import { isStarting, LostConnectionError, UnreachableError } from "./errors.ts";
import { readEvents } from "./event-stream.ts";
import { openEnvelope, pieces, readText, send } from "./transport.ts";

export interface OperationRequest {
  readonly path: string;
  readonly body: unknown;
  /** Ends the waiting, not the operation. */
  readonly signal: AbortSignal;
}

export interface OperationObserver {
  step(event: OperationEvent): void;
  /** The connection is gone; the same operation is asked for again. */
  lost(reason: string): void;
  found(): void;
  /** The daemon could not or would not cancel. */
  notCancelled(reason: string): void;
}

export interface RunningOperation<T> {
  readonly result: Promise<T>;
  /** Asks the daemon to give up and take back; the result tells how that ended. */
  cancel(): void;
}

const reconnectEveryMs = 200;
const cancelWithin = 10e9;

/**
 * Starts an operation and follows it to its result. All requests carry one id, by which the daemon knows that a caller
 * who comes back after a lost connection means the operation that is already there.
 */
export function startOperation<T>(
  client: Client,
  request: OperationRequest,
  observer: OperationObserver,
): RunningOperation<T> {
  const requestId = crypto.randomUUID();
  let operationId: string | undefined;
  let cancelWanted = false;

  async function askToCancel(id: string): Promise<void> {
    await client.query("DELETE", `/k8sd/operations/${encodeURIComponent(id)}`, { signal: deadline(cancelWithin) });
  }

  /** While the daemon asks others whether there is something to do, this is the only name that it has. */
  async function cancelUnnamed(): Promise<void> {
    try {
      await askToCancel(requestId);
      cancelWanted = false;
    } catch {
      // Then it is cancelled with its first step.
    }
  }

  async function cancelIt(id: string): Promise<void> {
    try {
      await askToCancel(id);
    } catch (error) {
      observer.notCancelled(error instanceof Error ? error.message : String(error));
    }
  }

  function onStep(event: OperationEvent): void {
    if (operationId === undefined && cancelWanted) void cancelIt(event.operation);
    operationId = event.operation;
    observer.step(event);
  }

  async function ask(answered: () => void): Promise<unknown> {
    const answer = await send(client.socketPath, {
      method: "POST",
      path: `/1.0${request.path}`,
      body: request.body,
      headers: { accept: "text/event-stream", "x-request-id": requestId },
      signal: request.signal,
    });
    const status = answer.statusCode ?? 0;
    if (!answer.headers["content-type"]?.startsWith("text/event-stream")) {
      return openEnvelope(await readText(answer, request.signal), status);
    }
    answered();
    for await (const event of readEvents(pieces(answer, request.signal))) {
      if (event.name === "step") onStep(JSON.parse(event.data));
      if (event.name === "result") return openEnvelope(event.data, status);
    }
    throw new LostConnectionError("k8sd ended the stream without a result");
  }

  async function follow(): Promise<T> {
    let lost = false;
    const answered = () => {
      if (lost) observer.found();
      lost = false;
    };
    try {
      for (;;) {
        try {
          return (await ask(answered)) as T;
        } catch (error) {
          const gone = error instanceof LostConnectionError || error instanceof UnreachableError;
          if (!gone && !isStarting(error)) throw error;
          if (gone && !lost) {
            observer.lost(error.message);
            lost = true;
          }
        }
        await pause(reconnectEveryMs, request.signal);
      }
    } catch (error) {
      throw queryError("POST", request.path, error);
    }
  }

  return {
    result: follow(),
    cancel() {
      cancelWanted = true;
      void (operationId === undefined ? cancelUnnamed() : cancelIt(operationId));
    },
  };
}
