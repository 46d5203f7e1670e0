import { AppError, errorCode, errorText } from "../lib/app-error.ts";
import { grpcStatus } from "./wire.ts";

/** gRPC's failure as ours; the datastore's own words are kept, because they say why. */
export function toAppError(action: string, error: unknown): AppError {
  const code = errorCode(error);
  const why = error instanceof Error && "details" in error ? String(error.details) : errorText(error);
  const message = `cannot ${action} the datastore: ${why}`;
  const details = { grpcCode: code };
  // etcd that stops has no code for what it was just asked.
  switch (why === "raft: stopped" ? grpcStatus.unavailable : code) {
    case grpcStatus.unavailable:
      return new AppError("unavailable", message, {
        remedy: "check that the datastore runs and is reachable",
        cause: error,
        details,
      });
    case grpcStatus.deadlineExceeded:
      return new AppError("timeout", message, { remedy: "check the datastore's load and disk", cause: error, details });
    case grpcStatus.cancelled:
      return new AppError("cancelled", message, { cause: error, details });
    case grpcStatus.invalidArgument:
      return new AppError("invalid", message, { cause: error, details });
    case grpcStatus.notFound:
      return new AppError("not-found", message, { cause: error, details });
    case grpcStatus.permissionDenied:
    case grpcStatus.unauthenticated:
      return new AppError("forbidden", message, { cause: error, details });
    case grpcStatus.failedPrecondition:
    case grpcStatus.aborted:
      return new AppError("conflict", message, { cause: error, details });
    case grpcStatus.outOfRange: {
      const compacted = why.includes("compacted");
      return new AppError(compacted ? "conflict" : "invalid", message, {
        cause: error,
        details: { ...details, compacted },
      });
    }
    case grpcStatus.resourceExhausted:
      return new AppError("unavailable", message, {
        retryable: false,
        remedy: "compact and defragment the datastore, then disarm its alarm",
        cause: error,
        details,
      });
    default:
      return new AppError("internal", message, { cause: error, details });
  }
}

/** True when a read asked for a revision that the datastore no longer has. */
export function isCompacted(error: unknown): boolean {
  return error instanceof AppError && error.details.compacted === true;
}
