/** Names for the numbers of the etcd v3 protocol, which the generated code leaves as int32. */
export const eventType = { put: 0, delete: 1 } as const;
export const sortOrder = { none: 0, ascend: 1, descend: 2 } as const;
export const sortTarget = { key: 0, version: 1, create: 2, mod: 3, value: 4 } as const;
export const compareResult = { equal: 0, greater: 1, less: 2, notEqual: 3 } as const;
export const compareTarget = { version: 0, create: 1, mod: 2, value: 3, lease: 4 } as const;
export const watchFilter = { noPut: 0, noDelete: 1 } as const;
export const alarmAction = { get: 0, activate: 1, deactivate: 2 } as const;
export const alarmType = { none: 0, noSpace: 1, corrupt: 2 } as const;

/** gRPC status codes that occur here. */
export const grpcStatus = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;
