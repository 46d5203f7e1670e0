import { describe, expect, test } from "vitest";
import { toAppError } from "../../../src/datastore/client-errors.ts";
import { grpcStatus } from "../../../src/datastore/wire.ts";

function failure(code: number, details: string): Error {
  return Object.assign(new Error(`${code}: ${details}`), { code, details });
}

describe("an error of the datastore", () => {
  test.each([
    ["it cannot be reached", grpcStatus.unavailable, "connection refused", "unavailable", true],
    ["etcd stops while it is asked", grpcStatus.unknown, "raft: stopped", "unavailable", true],
    ["it is full", grpcStatus.resourceExhausted, "mvcc: database space exceeded", "unavailable", false],
    ["nobody knows", grpcStatus.unknown, "something else", "internal", false],
  ])("is one that passes or not: %s", (_what, code, details, kind, retryable) => {
    expect(toAppError("write to", failure(code, details))).toMatchObject({
      kind,
      retryable,
      message: `cannot write to the datastore: ${details}`,
    });
  });
});
