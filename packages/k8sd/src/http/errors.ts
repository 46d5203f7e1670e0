import { STATUS_CODES } from "node:http";
import { AppError, type ErrorKind, errorReport } from "../lib/app-error.ts";

/** An answer that the protocol fixes: status and text are sent as they are. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;

  constructor(status: number, message: string = STATUS_CODES[status] ?? "", options?: { cause?: unknown }) {
    super(message, options);
    this.status = status;
  }
}

export interface ErrorAnswer {
  readonly status: number;
  readonly message: string;
  readonly kind: ErrorKind;
  /** A bug of ours: to be logged with its stack, not told. */
  readonly unexpected: boolean;
}

/** How an endpoint whose failures the contract fixes turns them into an answer. */
export type FailureRule = (
  error: AppError,
  /** As it was decoded. */
  request: unknown,
) => { readonly status: number; readonly message: string };

const statusByKind: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  "not-found": 404,
  conflict: 409,
  "not-initialised": 503,
  "already-initialised": 400,
  unavailable: 503,
  timeout: 504,
  cancelled: 500,
  internal: 500,
};

const kindByStatus: Readonly<Record<number, ErrorKind>> = {
  400: "invalid",
  401: "unauthorized",
  403: "forbidden",
  404: "not-found",
  503: "unavailable",
};

/** The one place where an error becomes an HTTP answer. */
export function toAnswer(error: unknown, requestId: string, rule?: FailureRule, request?: unknown): ErrorAnswer {
  if (error instanceof HttpError) {
    const kind = kindByStatus[error.status] ?? "internal";
    return { status: error.status, message: error.message, kind, unexpected: false };
  }
  if (error instanceof AppError) {
    const { status, message } = rule?.(error, request) ?? {
      status: statusByKind[error.kind],
      message: errorReport(error),
    };
    return { status, message, kind: error.kind, unexpected: false };
  }
  const message = `${STATUS_CODES[500]}: see the log of k8sd for request ${requestId}`;
  return { status: 500, message, kind: "internal", unexpected: true };
}

/** All failures of an endpoint have this status and begin with these words. */
export function always(status: number, prefix: string): FailureRule {
  return (error) => ({ status, message: `${prefix}${errorReport(error)}` });
}

/** What comes before the domain is asked: a failure of it is the request's fault, in its own words. */
export function orBadRequest<T>(prepare: () => T): T {
  try {
    return prepare();
  } catch (error) {
    if (error instanceof AppError) throw new HttpError(400, errorReport(error), { cause: error });
    throw error;
  }
}
