/** The daemon answered, and its answer is an error. */
export class ServerError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Nobody listens on the socket. */
export class UnreachableError extends Error {}

/** The connection ended before the answer was complete. */
export class LostConnectionError extends Error {}

/** What the commands see: which call failed, and the answer that made it fail. */
export class QueryError extends Error {
  /** Code of the daemon's error; undefined when there was no answer. */
  readonly code: number | undefined;

  constructor(message: string, options: { readonly code?: number; readonly cause: unknown }) {
    super(message, { cause: options.cause });
    this.code = options.code;
  }
}

/** True when the daemon is on its way up (or down, to come up again): asking again soon can help. */
export function isStarting(error: unknown): boolean {
  return (
    error instanceof ServerError &&
    error.code === 503 &&
    /Database is still starting|Database is not yet ready|Daemon is shutting down/.test(error.message)
  );
}
