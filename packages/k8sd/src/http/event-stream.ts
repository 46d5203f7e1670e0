import type { OperationEvent } from "@k8sd/api-types";
import type { OperationRun } from "./domain.ts";
import { toJson } from "./json.ts";

/** Below the idle limits of proxies and of clients that watch for a dead daemon. */
const heartbeatMs = 10_000;

export const eventStreamType = "text/event-stream";

/** The steps of an operation as server-sent events; the last one, `result`, holds the envelope of the plain answer. */
export function eventStream(
  run: OperationRun<unknown>,
  envelopeOf: (run: OperationRun<unknown>) => Promise<unknown>,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const events = run.events[Symbol.asyncIterator]();
  let heartbeat: NodeJS.Timeout | undefined;
  let gone = false;
  return new ReadableStream({
    async start(controller) {
      const send = (text: string): void => {
        if (!gone) controller.enqueue(encoder.encode(text));
      };
      heartbeat = setInterval(() => send(": keep-alive\n\n"), heartbeatMs);
      const pump = async (): Promise<void> => {
        try {
          for (let next = await events.next(); !next.done && !gone; next = await events.next()) {
            send(message("step", next.value satisfies OperationEvent));
          }
        } catch {
          // Whatever ended the events early is also how the operation ended; the result says it.
        }
        send(message("result", await envelopeOf(run)));
        clearInterval(heartbeat);
        if (!gone) controller.close();
      };
      // Started, not awaited: what start() waits for holds back the first bytes.
      pump().catch((error: unknown) => controller.error(error));
    },
    cancel() {
      // The caller went away; the operation goes on.
      gone = true;
      clearInterval(heartbeat);
    },
  });
}

function message(event: "step" | "result", data: unknown): string {
  return `event: ${event}\ndata: ${toJson(data)}\n\n`;
}
