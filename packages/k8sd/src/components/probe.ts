import * as http from "node:http";
import * as https from "node:https";
import type { ServiceSpec } from "../host/services.ts";
import { poll } from "../lib/wait.ts";
import { hostPort, reachedAt } from "./address.ts";
import type { NodeView } from "./component.ts";
import { effectiveArgument } from "./service.ts";

export interface ProbeOptions {
  readonly url: string;
  readonly signal: AbortSignal;
  readonly tls?: {
    /** Undefined: the server's certificate is not verified. Only for a program's self-signed one on loopback. */
    readonly ca: string | undefined;
    readonly cert?: string;
    readonly key?: string;
  };
}

/** One answer must come within this time; a program that is starting often accepts and then says nothing. */
const answerMs = 3000;
/** Health endpoints answer with a few lines. */
const largestAnswer = 64 * 1024;

/** GET with a deadline and a bounded body; a connection of its own, so that nothing is kept open. */
export function probe(options: ProbeOptions): Promise<{ status: number; body: string }> {
  const { url, tls } = options;
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(answerMs)]);
  return new Promise((resolve, reject) => {
    const request =
      tls === undefined
        ? http.get(url, { signal, agent: false })
        : https.get(url, { signal, agent: false, ...tls, rejectUnauthorized: tls.ca !== undefined });
    request.on("error", (error) => {
      reject(signal.aborted && !options.signal.aborted ? new Error(`no answer within ${answerMs / 1000} s`) : error);
    });
    request.on("response", (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        body += part;
        if (body.length > largestAnswer) response.destroy(new Error("the answer is too long"));
      });
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
  });
}

/** True on 200; otherwise throws what the endpoint said, so that a timeout can report it. */
export async function healthy(options: ProbeOptions): Promise<true> {
  const { status, body } = await probe(options);
  if (status === 200) return true;
  const failing = body.split("\n").filter((line) => line.startsWith("[-]"));
  const said = failing.length > 0 ? failing.join(", ") : body.trim().slice(0, 300);
  throw new Error(`${options.url} answered ${status}: ${said}`);
}

/** A started program answers within seconds; on a small machine that starts all of them at once it takes many times that. */
export const readyMs = 60_000;

export interface HealthEndpoint {
  readonly scheme: "http" | "https";
  /** Flag that may have moved the listener to another address. */
  readonly host: string;
  /** Flag that may have moved it to another port, and its default. */
  readonly port: readonly [flag: string, otherwise: string];
}

/** Waits for `/healthz` of a program that listens on loopback with a certificate it made itself. */
export async function whenHealthy(
  node: NodeView,
  service: ServiceSpec,
  endpoint: HealthEndpoint,
  signal: AbortSignal,
): Promise<void> {
  const port = effectiveArgument(service, endpoint.port[0], endpoint.port[1]);
  // Switched off by the user: there is nothing to look at.
  if (port === "0") return;
  const host = reachedAt(effectiveArgument(service, endpoint.host, ""), node.loopback);
  const url = `${endpoint.scheme}://${hostPort(host, port)}/healthz`;
  await poll(
    (abort) => healthy({ url, signal: abort, ...(endpoint.scheme === "https" ? { tls: { ca: undefined } } : {}) }),
    { what: `see ${service.name} ready`, deadlineMs: readyMs, signal, remedy: `Look at the log of ${service.name}.` },
  );
}
