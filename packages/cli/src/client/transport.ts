import type { IncomingMessage } from "node:http";
import { LostConnectionError, ServerError, UnreachableError } from "./errors.ts";

export interface TransportRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** With the API's version: `/1.0/k8sd/node`. */
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** Far above any answer of the daemon; what is larger is not one. */
const maxAnswerBytes = 16 * 1024 * 1024;

/**
 * Loaded when needed, and not by `import`: that reads every export of node:http, one of which is a WebSocket client
 * whose loading takes longer than all the rest of a call.
 */
export function loadHttp(): typeof import("node:http") {
  return process.getBuiltinModule("node:http");
}

/** Sends one request over the unix socket; returns when the head of the answer is here. */
export function send(socketPath: string, request: TransportRequest): Promise<IncomingMessage> {
  const { request: httpRequest } = loadHttp();
  const { connect } = process.getBuiltinModule("node:net");
  const body = request.body === undefined ? undefined : JSON.stringify(request.body);
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      // A connection of its own instead of an agent's: one request per connection, as the process ends after it.
      createConnection: () => connect(socketPath),
      method: request.method,
      path: request.path,
      signal: request.signal,
      headers: {
        host: "control.socket",
        ...(body === undefined
          ? {}
          : { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) }),
        ...request.headers,
      },
    });
    outgoing.on("response", resolve);
    outgoing.on("error", (error) => reject(request.signal.aborted ? request.signal.reason : named(error, socketPath)));
    outgoing.end(body);
  });
}

function named(error: Error, socketPath: string): Error {
  const code = "code" in error ? error.code : undefined;
  if (code === "ENOENT" || code === "ECONNREFUSED") {
    const reason = code === "ENOENT" ? "no such file or directory" : "connection refused";
    return new UnreachableError(`cannot connect to ${socketPath}: ${reason}`, { cause: error });
  }
  if (code === "ECONNRESET" || code === "EPIPE") {
    return new LostConnectionError("k8sd closed the connection before it answered", { cause: error });
  }
  return error;
}

/** The pieces of the answer's text as they come. */
export async function* pieces(answer: IncomingMessage, signal: AbortSignal): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  try {
    for await (const chunk of answer) yield decoder.decode(chunk, { stream: true });
  } catch (error) {
    signal.throwIfAborted();
    throw new LostConnectionError("k8sd closed the connection in the middle of its answer", { cause: error });
  }
}

export async function readText(answer: IncomingMessage, signal: AbortSignal): Promise<string> {
  let text = "";
  for await (const piece of pieces(answer, signal)) {
    text += piece;
    if (text.length > maxAnswerBytes) {
      answer.destroy();
      throw new Error(`the answer of k8sd is larger than ${maxAnswerBytes} bytes`);
    }
  }
  return text;
}

/** The payload of an answer's envelope. @throws ServerError when the envelope holds an error. */
export function openEnvelope(text: string, status: number): unknown {
  const envelope = parse(text, status);
  if (envelope.type === "error" || status >= 400) {
    const code = typeof envelope.error_code === "number" && envelope.error_code !== 0 ? envelope.error_code : status;
    throw new ServerError(code, typeof envelope.error === "string" ? envelope.error : `HTTP status ${status}`);
  }
  return envelope.metadata;
}

interface LooseEnvelope {
  readonly type?: unknown;
  readonly error_code?: unknown;
  readonly error?: unknown;
  readonly metadata?: unknown;
}

function parse(text: string, status: number): LooseEnvelope {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Said below: whatever is no object is no answer of k8sd.
  }
  throw new ServerError(status, `k8sd answered with HTTP status ${status} and something that is not its API`);
}
