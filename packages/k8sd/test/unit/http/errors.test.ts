import { describe, expect, test } from "vitest";
import { always, HttpError, orBadRequest, toAnswer } from "../../../src/http/errors.ts";
import { AppError, type ErrorKind } from "../../../src/lib/app-error.ts";

describe("an error as an answer", () => {
  test.each<[ErrorKind, number]>([
    ["invalid", 400],
    ["not-found", 404],
    ["conflict", 409],
    ["unauthorized", 401],
    ["forbidden", 403],
    ["not-initialised", 503],
    ["already-initialised", 400],
    ["unavailable", 503],
    ["timeout", 504],
    ["cancelled", 500],
    ["internal", 500],
  ])("%s is %d", (kind, status) => {
    expect(toAnswer(new AppError(kind, "cannot x"), "r")).toEqual({
      status,
      message: "cannot x",
      kind,
      unexpected: false,
    });
  });

  test("says why and what to do", () => {
    const cause = new Error("connection refused");
    const error = new AppError("unavailable", "cannot reach the datastore", { cause, remedy: "Start k8s-datastore." });
    expect(toAnswer(error, "r").message).toBe("cannot reach the datastore: connection refused. Start k8s-datastore.");
  });

  test("of the protocol is sent as it is, with the reason phrase when it has no text", () => {
    expect(toAnswer(new HttpError(403), "r", always(500, "x: "))).toMatchObject({ status: 403, message: "Forbidden" });
  });

  test("that the contract fixes has its status and words", () => {
    expect(toAnswer(new AppError("invalid", "no"), "r", always(500, "failed: "))).toMatchObject({
      status: 500,
      message: "failed: no",
    });
  });

  test("that nobody expected tells only where to look", () => {
    expect(toAnswer(new Error("secret"), "r7", always(400, "failed: "))).toEqual({
      status: 500,
      message: "Internal Server Error: see the log of k8sd for request r7",
      kind: "internal",
      unexpected: true,
    });
    expect(toAnswer("thrown text", "r").unexpected).toBe(true);
  });
});

test("what is prepared before the domain is asked fails as a bad request; a bug stays a bug", () => {
  const preparing = (error: Error) => () =>
    orBadRequest(() => {
      throw error;
    });
  expect(preparing(new AppError("conflict", "x", { remedy: "Y." }))).toThrow(
    expect.objectContaining({ status: 400, message: "x. Y." }),
  );
  expect(preparing(new TypeError("bug"))).toThrow(TypeError);
});
