import type {
  AccessRule as AnyAccessRule,
  EndpointName,
  EndpointSpec,
  Method,
  RequestOf,
  ResponseOf,
} from "@k8sd/api-types";
import { endpoints } from "@k8sd/api-types";
import type { Logger } from "pino";
import type { z } from "zod";
import type { Caller, Domain, OperationRun } from "./domain.ts";
import type { FailureRule } from "./errors.ts";

/** Rules that access.ts can check. */
export type AccessRule = Exclude<AnyAccessRule, "worker-token">;

export interface RequestContext {
  readonly domain: Domain;
  readonly requestId: string;
  readonly caller: Caller;
  /** Ends with the connection, the deadline of the request, or the daemon. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** The segment that stands for `{id}`; "" where there is none. */
  readonly id: string;
}

interface Rules {
  readonly method: Method;
  readonly path: `/${string}`;
  /** undefined: the body is not read. */
  readonly request: z.ZodType | undefined;
  readonly access: AccessRule;
  readonly beforeInit: boolean;
  readonly strict: boolean;
  readonly failure?: FailureRule | undefined;
}

type Answering =
  /** Answers once; `follow` is used instead when the caller asks for an event stream. */
  | {
      handle(ctx: RequestContext, request: unknown): Promise<unknown>;
      follow?: (ctx: RequestContext) => OperationRun<unknown>;
    }
  /** Starts an operation and answers its result, with its events before when the caller asks for them. */
  | { start(ctx: RequestContext, request: unknown): OperationRun<unknown> }
  /** Answers without the envelope, also to a body that cannot be read. */
  | { raw(ctx: RequestContext, body: string): Promise<{ readonly status: number; readonly body: unknown }> }
  /** Answers a text of this type without the envelope. */
  | { readonly type: string; text(ctx: RequestContext): Promise<string> };

/** One row of the route table. Without an access rule it does not compile. */
export type Endpoint = Rules & Answering;

interface Handlers<N extends EndpointName> {
  handle(ctx: RequestContext, request: RequestOf<N>): Promise<ResponseOf<N>>;
  start(ctx: RequestContext, request: RequestOf<N>): OperationRun<ResponseOf<N>>;
}

/** A row of the contract's table with a handler whose types follow from its schemas. */
export function answers<N extends EndpointName>(
  name: N,
  handle: Handlers<N>["handle"],
  more: { failure?: FailureRule; follow?: (ctx: RequestContext) => OperationRun<unknown> } = {},
): Endpoint {
  // The app decodes by this row's own schema before it calls, so the request is what the handler's type says.
  return { ...rulesOf(name), ...more, handle: (ctx, request) => handle(ctx, request as RequestOf<N>) };
}

export function starts<N extends EndpointName>(
  name: N,
  start: Handlers<N>["start"],
  more: { failure?: FailureRule } = {},
): Endpoint {
  return { ...rulesOf(name), ...more, start: (ctx, request) => start(ctx, request as RequestOf<N>) };
}

export function answersRaw(name: EndpointName, raw: Extract<Answering, { raw: unknown }>["raw"]): Endpoint {
  return { ...rulesOf(name), raw };
}

export function answersText(
  name: EndpointName,
  type: string,
  text: (ctx: RequestContext) => Promise<string>,
): Endpoint {
  return { ...rulesOf(name), type, text };
}

function rulesOf(name: EndpointName): Rules {
  const { method, path, request, access, beforeInit, strict }: EndpointSpec = endpoints[name];
  if (access === "worker-token") throw new Error(`no check exists yet for the access rule of ${name}`);
  return { method, path, request, access, beforeInit, strict };
}
