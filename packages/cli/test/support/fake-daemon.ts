import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
}

/** By method and path: `GET /1.0/k8sd/node`. */
export type Routes = Readonly<Record<string, (request: Received, answer: ServerResponse) => void>>;

/**
 * A stand-in for the daemon: a real unix socket in a temporary directory with answers that the test gives. It knows
 * nothing of clusters; what the real daemon answers is tested with the daemon.
 */
export interface FakeDaemon extends AsyncDisposable {
  readonly stateDir: string;
  readonly directory: string;
  readonly received: readonly Received[];
  /** Closes the socket and cuts every connection, as a killed daemon does. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

export async function createFakeDaemon(routes: Routes): Promise<FakeDaemon> {
  const directory = await mkdtemp(join(tmpdir(), "k8s-cli-"));
  const socketPath = join(directory, "control.socket");
  const received: Received[] = [];
  const server = createServer((request, answer) => {
    let text = "";
    request.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
    });
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      const body: unknown = text === "" ? undefined : JSON.parse(text);
      const entry = { method, path: url, headers, body };
      received.push(entry);
      const handler = routes[`${method} ${url}`] ?? ((_request, response) => sendError(response, 404, "Not Found"));
      handler(entry, answer);
    });
  });
  const start = () => new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  const close = async () => {
    await stop();
    await rm(directory, { recursive: true, force: true });
  };
  await start();
  return { stateDir: directory, directory, received, stop, start, close, [Symbol.asyncDispose]: close };
}

export function sync(metadata: unknown): unknown {
  return { type: "sync", status: "Success", status_code: 200, operation: "", error_code: 0, error: "", metadata };
}

export function failure(code: number, error: string): unknown {
  return { type: "error", status: "", status_code: 0, operation: "", error_code: code, error, metadata: null };
}

export function sendSync(answer: ServerResponse, metadata: unknown): void {
  answer.writeHead(200, { "content-type": "application/json" }).end(`${JSON.stringify(sync(metadata))}\n`);
}

export function sendError(answer: ServerResponse, code: number, error: string): void {
  answer.writeHead(code, { "content-type": "application/json" }).end(`${JSON.stringify(failure(code, error))}\n`);
}

export function beginStream(answer: ServerResponse): void {
  answer.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
}

export function sendEvent(answer: ServerResponse, name: "step" | "result", data: unknown): void {
  answer.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}

export function step(step: number, state: string, title: string, more: Record<string, unknown> = {}): unknown {
  return { operation: "op-1", kind: "bootstrap", step, of: 12, title, state, elapsedMs: 40, ...more };
}
