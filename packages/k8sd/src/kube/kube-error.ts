import { AppError, type ErrorKind, errorText } from "../lib/app-error.ts";

interface Status {
  readonly reason: string;
  readonly message: string;
  readonly retryAfterSeconds: number | undefined;
}

const kindByReason: Readonly<Record<string, ErrorKind>> = {
  NotFound: "not-found",
  AlreadyExists: "conflict",
  Conflict: "conflict",
  Unauthorized: "unauthorized",
  Forbidden: "forbidden",
  Invalid: "invalid",
  BadRequest: "invalid",
  Gone: "conflict",
  Expired: "conflict",
  ServiceUnavailable: "unavailable",
  TooManyRequests: "unavailable",
  Timeout: "timeout",
  ServerTimeout: "timeout",
};

const kindByCode: Readonly<Record<number, ErrorKind>> = {
  400: "invalid",
  401: "unauthorized",
  403: "forbidden",
  404: "not-found",
  409: "conflict",
  410: "conflict",
  422: "invalid",
  429: "unavailable",
  500: "unavailable",
  502: "unavailable",
  503: "unavailable",
  504: "timeout",
};

/** The API's answer as an error. `details` holds `reason` (Kubernetes' own word) and `code`. */
export function statusError(what: string, code: number, body: unknown): AppError {
  const status = readStatus(body);
  const kind = kindByReason[status.reason] ?? kindByCode[code] ?? "internal";
  const text = status.message === "" ? `the Kubernetes API answered ${code}` : status.message;
  return new AppError(kind, `cannot ${what}: ${text}`, {
    details: { reason: status.reason, code, retryAfterSeconds: status.retryAfterSeconds },
  });
}

/** What happened to a request that got no whole answer. */
export function requestError(what: string, cause: unknown, caller: AbortSignal, deadline: AbortSignal): AppError {
  if (cause instanceof AppError) return cause;
  if (caller.aborted) return new AppError("cancelled", `cannot ${what}: it was cancelled`, { cause });
  if (deadline.aborted) {
    return new AppError("timeout", `cannot ${what}: the Kubernetes API did not answer in time`, { cause });
  }
  return new AppError("unavailable", `cannot ${what}: ${errorText(cause)}`, { cause });
}

function readStatus(body: unknown): Status {
  const text = (holder: unknown, key: string): string => {
    const value = property(holder, key);
    return typeof value === "string" ? value : "";
  };
  const retry = property(property(body, "details"), "retryAfterSeconds");
  return {
    reason: text(body, "reason"),
    message: text(body, "message"),
    retryAfterSeconds: typeof retry === "number" ? retry : undefined,
  };
}

function property(holder: unknown, key: string): unknown {
  return typeof holder === "object" && holder !== null ? Reflect.get(holder, key) : undefined;
}
