import { grpcStatus } from "../wire.ts";

/** A failure that clients see; code and text are etcd's, because clients compare the text. */
export class EtcdError extends Error {
  override readonly name = "EtcdError";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const invalid = (text: string) => () => new EtcdError(grpcStatus.invalidArgument, text);

/** Factories, because an error's stack should show where it was thrown. */
export const etcdErrors = {
  emptyKey: invalid("etcdserver: key is not provided"),
  keyNotFound: invalid("etcdserver: key not found"),
  valueProvided: invalid("etcdserver: value is provided"),
  leaseProvided: invalid("etcdserver: lease is provided"),
  tooManyOps: invalid("etcdserver: too many operations in txn request"),
  duplicateKey: invalid("etcdserver: duplicate key given in txn request"),
  invalidSortOption: invalid("etcdserver: invalid sort option"),
  requestTooLarge: invalid("etcdserver: request is too large"),
  compacted: () => new EtcdError(grpcStatus.outOfRange, "etcdserver: mvcc: required revision has been compacted"),
  futureRevision: () =>
    new EtcdError(grpcStatus.outOfRange, "etcdserver: mvcc: required revision is a future revision"),
  noSpace: () => new EtcdError(grpcStatus.resourceExhausted, "etcdserver: mvcc: database space exceeded"),
  leaseNotFound: () => new EtcdError(grpcStatus.notFound, "etcdserver: requested lease not found"),
  leaseExists: () => new EtcdError(grpcStatus.failedPrecondition, "etcdserver: lease already exists"),
  leaseTtlTooLarge: () => new EtcdError(grpcStatus.outOfRange, "etcdserver: too large lease TTL"),
  /** Surely nothing happened. */
  noLeader: () => new EtcdError(grpcStatus.unavailable, "etcdserver: no leader"),
  /** It may have happened. */
  connectionLost: () =>
    new EtcdError(grpcStatus.unavailable, "etcdserver: request timed out, possibly due to connection lost"),
  stopped: () => new EtcdError(grpcStatus.unavailable, "etcdserver: server stopped"),
} as const;
