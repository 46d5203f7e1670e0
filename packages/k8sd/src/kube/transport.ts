import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { AppError } from "../lib/app-error.ts";
import { withDeadline } from "../lib/wait.ts";
import { requestError, statusError } from "./kube-error.ts";
import type { KubeconfigContent } from "./kubeconfig.ts";

export interface ApiRequest {
  /** The end of "cannot …" in errors: "read Node n1". */
  readonly what: string;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Absolute, with the query. */
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal: AbortSignal;
  readonly deadlineMs: number;
}

export interface Transport {
  /** The whole answer, of any status below 300. */
  text(request: ApiRequest): Promise<string>;
  close(): void;
}

/** Above a list of 10,000 objects; below what would put the daemon's memory at risk. */
const maxAnswerBytes = 128 * 1024 * 1024;
const maxErrorBytes = 64 * 1024;

/** HTTPS with the client certificate of a kubeconfig, over connections that are kept. */
export function createTransport(config: KubeconfigContent): Transport {
  const base = new URL(config.server);
  const agent = new Agent({
    keepAlive: true,
    ca: config.certificateAuthority,
    cert: config.certificate,
    key: config.key,
    minVersion: "TLSv1.2",
  });

  function send(call: ApiRequest, signal: AbortSignal, mayRepeat: boolean): Promise<IncomingMessage> {
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    return new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request(new URL(call.path, base), {
        agent,
        method: call.method,
        signal,
        headers: {
          accept: "application/json",
          ...(body === undefined ? {} : { "content-type": call.contentType ?? "application/json" }),
          ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }),
        },
      });
      outgoing.once("error", (error) => {
        // The server closed a kept connection at the moment we used it; only reading may be done twice.
        if (mayRepeat && outgoing.reusedSocket && !signal.aborted) resolve(send(call, signal, false));
        else reject(error);
      });
      outgoing.once("response", resolve);
      outgoing.end(body);
    });
  }

  async function open(call: ApiRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const answer = await send(call, signal, call.method === "GET");
    const code = answer.statusCode ?? 0;
    if (code >= 200 && code < 300) return answer;
    const text = await readText(answer, maxErrorBytes);
    throw statusError(call.what, code, parseJson(text) ?? { message: text.slice(0, 1000) });
  }

  async function guarded<T>(call: ApiRequest, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const deadline = withDeadline(call.signal, call.deadlineMs);
    try {
      deadline.throwIfAborted();
      return await run(deadline);
    } catch (cause) {
      throw requestError(call.what, cause, call.signal, deadline);
    }
  }

  return {
    text: (call) => guarded(call, async (signal) => readText(await open(call, signal), maxAnswerBytes)),

    close: () => agent.destroy(),
  };
}

/** The value of a JSON text, or undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function readText(answer: IncomingMessage, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) throw tooLarge("answer", limit);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function tooLarge(what: string, limit: number): AppError {
  return new AppError("internal", `cannot read the Kubernetes API: it sent a larger ${what} than ${limit} bytes`);
}
