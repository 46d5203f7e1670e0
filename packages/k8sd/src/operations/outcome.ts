import { AppError, type ErrorKind, errorCode, errorText } from "../lib/app-error.ts";

/** An error as the journal keeps it, so that a caller who asks later gets the same answer. */
export function errorToJson(error: unknown): string {
  const known = error instanceof AppError;
  return JSON.stringify({
    kind: known ? error.kind : "internal",
    message: errorText(error),
    ...(known && error.field !== undefined ? { field: error.field } : {}),
    ...(known && error.remedy !== undefined ? { remedy: error.remedy } : {}),
    ...(known ? { retryable: error.retryable } : {}),
  });
}

export function errorFromJson(text: string): AppError {
  const { kind, message, ...options } = JSON.parse(text) as {
    kind: ErrorKind;
    message: string;
    field?: string;
    remedy?: string;
    retryable?: boolean;
  };
  return new AppError(kind, message, options);
}

/** What a step threw, as its caller shall read it: whoever may start operations may know why one failed. */
export function failureOf(doing: string, error: unknown): AppError {
  if (error instanceof AppError) return error;
  return new AppError("internal", `cannot ${doing}`, {
    cause: error,
    ...(isDiskFull(error) ? { remedy: "Free disk space." } : {}),
  });
}

/** The time is over: what took it is said, the step and what the step itself has to say. */
export function timeoutError(operation: string, timeoutMs: number, step: string, error: unknown): AppError {
  const said = error instanceof AppError ? error : undefined;
  const message = `cannot finish ${operation} within ${timeoutMs / 1000} s, while it was at ${JSON.stringify(step)}`;
  return new AppError("timeout", message, {
    remedy: `${said?.remedy === undefined ? "" : `${said.remedy} `}Give it more time with --timeout if it only was slow.`,
    ...(said === undefined ? {} : { cause: said }),
  });
}

function isDiskFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "SQLITE_FULL"].includes(String(errorCode(error)));
}
