/** What went wrong, for programs. Stable on the wire; http/errors.ts and the CLI map it to status and exit codes. */
export type ErrorKind =
  /** The caller's input is wrong: the same call can never succeed. */
  | "invalid"
  | "not-found"
  /** The state of the node or the cluster forbids it now: taken name, taken port, foreign file. */
  | "conflict"
  | "unauthorized"
  | "forbidden"
  | "not-initialised"
  | "already-initialised"
  /** A part that is needed does not answer; retrying later can help. */
  | "unavailable"
  | "timeout"
  | "cancelled"
  | "internal";

export interface AppErrorOptions {
  /** The input that is at fault, as the user wrote it: `pod-cidr`, `--address`. */
  readonly field?: string;
  /** What the user can do. A full sentence or a command. */
  readonly remedy?: string;
  /** True when the same call may succeed later without a change by the caller. Default: by kind. */
  readonly retryable?: boolean;
  readonly cause?: unknown;
  /** Facts for logs; never secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** An expected failure. Anything else that is thrown is a bug and becomes `internal` at the edge. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly kind: ErrorKind;
  readonly field: string | undefined;
  readonly remedy: string | undefined;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;

  /** @param message lower case, starts with "cannot …", names the thing and the reason. */
  constructor(kind: ErrorKind, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.field = options.field;
    this.remedy = options.remedy;
    this.retryable = options.retryable ?? (kind === "unavailable" || kind === "timeout");
    this.details = options.details ?? {};
  }
}

export function isKind(error: unknown, kind: ErrorKind): error is AppError {
  return error instanceof AppError && error.kind === kind;
}

/** The message of anything thrown, with the causes behind it that add something. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.message === "" ? error.name : error.message;
  if (error.cause === undefined) return own;
  const cause = errorText(error.cause);
  return own.includes(cause) ? own : `${own}: ${cause}`;
}

/** What happened, why, and what to do, as one text. */
export function errorReport(error: unknown): string {
  const said = errorText(error);
  if (!(error instanceof AppError)) return said;
  const text = error.field === undefined || said.includes(error.field) ? said : `${error.field}: ${said}`;
  return error.remedy === undefined ? text : `${text}. ${error.remedy}`;
}

/** By which Node, SQLite, PostgreSQL and gRPC tell their errors apart; undefined for an error that has none. */
export function errorCode(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

/** True when a thrown thing is Node's error for a missing file or directory. */
export function isMissingFile(error: unknown): boolean {
  return errorCode(error) === "ENOENT";
}
