import { AppError, type ErrorKind, errorText } from "../lib/app-error.ts";

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
