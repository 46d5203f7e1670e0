import { randomUUID } from "node:crypto";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { failure, type Method, success } from "@k8sd/api-types";
import { type Context, Hono } from "hono";
import type { Logger } from "pino";
import { callerOf, checkAccess, type Transport, type Trust, trustIn } from "./access.ts";
import { decode, readBody } from "./body.ts";
import type { Domain, OperationRun } from "./domain.ts";
import type { Endpoint, RequestContext } from "./endpoint.ts";
import { type FailureRule, HttpError, toAnswer } from "./errors.ts";
import { eventStream, eventStreamType } from "./event-stream.ts";
import { toJson } from "./json.ts";

export interface HttpAppOptions {
  /** A handler that answers no operation has this long: no read of ours waits longer for another process. */
  readonly requestTimeoutMs?: number;
}

export interface HttpAppDeps {
  readonly rows: readonly Endpoint[];
  /** Paths that are known though no row answers them: 501, not 404. */
  readonly unimplemented?: readonly { readonly path: string; readonly beforeInit: boolean }[];
  readonly domain: Domain;
  readonly log: Logger;
  /** Aborted when the daemon begins to stop: from then on every request is refused. */
  readonly closing: AbortSignal;
  readonly now: () => number;
}

type Env = { Bindings: { incoming: IncomingMessage; outgoing: ServerResponse; transport: Transport } };

const methods: readonly string[] = ["GET", "PUT", "POST", "DELETE", "PATCH"] satisfies Method[];

/** The whole API over one table of rows. Gives a listener for node:http and node:https per transport. */
export function createHttpApp(
  options: HttpAppOptions,
  deps: HttpAppDeps,
): { listener(transport: Transport): RequestListener } {
  const { domain, log } = deps;
  const requestTimeoutMs = options.requestTimeoutMs ?? 60_000;
  // Paths match as they were sent: no decoding, no cleaning.
  const app = new Hono<Env>({ getPath: (_request, bindings) => rawPath(bindings?.env?.incoming.url) });
  for (const [path, rows] of byPath(deps.rows)) {
    const beforeInit = rows.some((row) => row.beforeInit);
    app.all(path.replace("{id}", ":id"), (c) => answer(c, (requestId) => serve(c, rows, beforeInit, requestId)));
  }
  for (const { path, beforeInit } of deps.unimplemented ?? []) {
    app.all(path, (c) => answer(c, (requestId) => serve(c, [], beforeInit, requestId)));
  }
  app.notFound((c) => answer(c, () => Promise.reject(new HttpError(404))));

  /** The contract's order of checks: shutdown, initialised, authentication, method, trust and access rule, handler. */
  async function serve(
    c: Context<Env>,
    rows: readonly Endpoint[],
    beforeInit: boolean,
    requestId: string,
  ): Promise<Response> {
    const { incoming, transport } = c.env;
    const method = incoming.method ?? "";
    if (deps.closing.aborted) throw new HttpError(503, "Daemon is shutting down");
    if (!methods.includes(method)) throw new HttpError(404, `Method '${method}' not found`);
    const row = rows.find((candidate) => candidate.method === method);
    refuseBeforeInit(row?.beforeInit ?? beforeInit);
    const trust = authenticate(incoming, transport);
    if (row === undefined) throw new HttpError(501);
    const signal = AbortSignal.any([c.req.raw.signal, deps.closing, AbortSignal.timeout(requestTimeoutMs)]);
    await checkAccess(row.access, { trust, incoming }, domain, signal);
    const caller = callerOf(row.access, incoming, transport);
    const ctx = { domain, requestId, caller, signal, log: log.child({ requestId }), id: c.req.param("id") ?? "" };
    return respond(c, row, ctx);
  }

  function refuseBeforeInit(allowed: boolean): void {
    const status = domain.databaseStatus();
    if (!allowed && status !== "Database is online") throw new HttpError(503, status);
  }

  function authenticate(incoming: IncomingMessage, transport: Transport): Trust {
    try {
      return trustIn(incoming, transport, domain, deps.now());
    } catch (error) {
      log.error({ err: error }, "Cannot authenticate a caller");
      throw new HttpError(403, "Failed to authenticate request: the certificates of the members cannot be read");
    }
  }

  async function respond(c: Context<Env>, row: Endpoint, ctx: RequestContext): Promise<Response> {
    if ("raw" in row) {
      const { status, body } = await row.raw(ctx, await readBody(c.env.incoming));
      return json(body, status);
    }
    if ("text" in row) return new Response(await row.text(ctx), { headers: { "Content-Type": row.type } });
    const request = row.request && decode(row.request, await readBody(c.env.incoming), row.strict);
    const streaming = c.env.incoming.headers.accept?.includes(eventStreamType) ?? false;
    const envelopeOf = (run: OperationRun<unknown>) =>
      run.result.then(success, (error: unknown) => failed(error, ctx.requestId, row.failure, request).envelope);
    try {
      if ("start" in row) {
        const run = row.start(ctx, request);
        if (streaming) return stream(run, envelopeOf);
        return json(success(await run.result));
      }
      if (streaming && row.follow !== undefined) return stream(row.follow(ctx), envelopeOf);
      return json(success(await row.handle(ctx, request)));
    } catch (error) {
      return failed(error, ctx.requestId, row.failure, request).response();
    }
  }

  function failed(error: unknown, requestId: string, rule?: FailureRule, request?: unknown) {
    const { status, message, kind, unexpected } = toAnswer(error, requestId, rule, request);
    if (unexpected) log.error({ err: error, requestId }, "Unexpected error");
    const envelope = failure(status, message);
    const headers = { "X-Content-Type-Options": "nosniff", "X-Error-Kind": kind };
    return { envelope, response: () => json(envelope, status, headers) };
  }

  async function answer(c: Context<Env>, work: (requestId: string) => Promise<Response>): Promise<Response> {
    const began = deps.now();
    const requestId = requestIdOf(c.env.incoming);
    const response = await work(requestId).catch((error: unknown) => failed(error, requestId).response());
    response.headers.set("X-Request-Id", requestId);
    const { method, url } = c.env.incoming;
    log.debug({ requestId, method, path: rawPath(url), status: response.status, ms: deps.now() - began }, "Request");
    return response;
  }

  return {
    listener: (transport) => {
      const listen = getRequestListener((request, bindings) => app.fetch(request, { ...bindings, transport }), {
        hostname: "localhost",
        overrideGlobalObjects: false,
        errorHandler: () => json(failure(400, "Bad Request"), 400, { "X-Content-Type-Options": "nosniff" }),
      });
      return (incoming, outgoing) => {
        // A wrong Host makes a caller untrusted (access.ts reads the raw header), it is no reason to answer 400.
        incoming.headers.host = "localhost";
        void listen(incoming, outgoing);
      };
    },
  };
}

function byPath(rows: readonly Endpoint[]): Map<string, Endpoint[]> {
  const paths = new Map<string, Endpoint[]>();
  for (const row of rows) paths.set(row.path, [...(paths.get(row.path) ?? []), row]);
  return paths;
}

function rawPath(url: string | undefined): string {
  return url?.split("?", 1)[0] ?? "";
}

function requestIdOf(incoming: IncomingMessage): string {
  const given = incoming.headers["x-request-id"];
  return typeof given === "string" && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}

function json(body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(`${toJson(body)}\n`, { status, headers: { "Content-Type": "application/json", ...headers } });
}

function stream(run: OperationRun<unknown>, envelopeOf: (run: OperationRun<unknown>) => Promise<unknown>): Response {
  const headers = { "Content-Type": eventStreamType, "Cache-Control": "no-store" };
  return new Response(eventStream(run, envelopeOf), { headers });
}
