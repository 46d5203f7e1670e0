import { describe, expect, test } from "vitest";
import { call, fakeDomain, serve } from "./fixtures.ts";

const _bootstrapBody = { name: "N1", address: "10.0.0.1:6400", config: {}, timeout: 90_000_000_000 };
const error = (code: number, text: string) => ({
  type: "error",
  status: "",
  status_code: 0,
  operation: "",
  error_code: code,
  error: text,
  metadata: null,
});

describe("authentication tokens", () => {
  const tokens = "/1.0/kubernetes/auth/tokens";
  const webhook = "/1.0/kubernetes/auth/webhook";

  test("create and revoke, not strict, null on revoke", async () => {
    await using server = await serve(fakeDomain());
    const created = await call(server.socket, "POST", tokens, { body: { username: "ann", groups: null, more: 1 } });
    expect(created.json.metadata).toEqual({ token: "token::ann" });
    const revoked = await call(server.socket, "DELETE", tokens, { body: { token: "token::ann", more: 1 } });
    expect([revoked.status, revoked.json.metadata]).toEqual([200, null]);
  });

  test.each([
    ["POST", {}, "database transaction failed: username cannot be empty"],
    ["POST", { username: "a", groups: [""] }, "database transaction failed: invalid groups: group cannot be empty"],
    [
      "POST",
      { username: "a", groups: ["x", "y", "x"] },
      "database transaction failed: invalid groups: duplicate group x",
    ],
    [
      "DELETE",
      {},
      "failed to revoke auth token: database transaction failed: failed to delete token from database: token cannot be empty",
    ],
  ])("%s %j is refused with 500", async (method, body, text) => {
    await using server = await serve(fakeDomain());
    expect((await call(server.socket, method, tokens, { body })).json).toEqual(error(500, text));
  });

  test("the webhook answers a bare TokenReview to anyone", async () => {
    await using server = await serve(fakeDomain());
    const review = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      metadata: { creationTimestamp: null },
    };
    const ask = async (body: string | object) => {
      const { status, text } = await call(server.tls.address, "POST", webhook, { body });
      expect(text.endsWith("\n")).toBe(true);
      return [status, JSON.parse(text)];
    };
    expect(await ask({ ...review, spec: { token: "good", audiences: ["api"] }, status: { user: {} } })).toEqual([
      200,
      {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: { token: "good", audiences: ["api"] },
        status: { authenticated: true, audiences: ["api"], user: { uid: "ann", username: "ann", groups: ["dev"] } },
      },
    ]);
    expect(await ask({ ...review, spec: { token: "bad" } })).toMatchObject([
      401,
      { status: { authenticated: false, error: "invalid token" } },
    ]);
    expect(await ask({ apiVersion: "v9", kind: "Pod", spec: { token: "good" } })).toMatchObject([
      401,
      {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        status: { error: "invalid TokenReview: unknown GroupVersion=v9\nunknown Kind=Pod" },
      },
    ]);
    expect(await ask("")).toMatchObject([400, { status: { error: "failed to parse TokenReview: EOF" } }]);
  });

  test("a token that cannot be checked is a bad one", async () => {
    const authTokens = { ...fakeDomain().authTokens, check: () => Promise.reject(new Error("gone")) };
    await using server = await serve(fakeDomain({ authTokens }));
    const { status, text } = await call(server.tls.address, "POST", webhook, { body: { spec: { token: "good" } } });
    expect([status, JSON.parse(text).status.error]).toEqual([401, "invalid token"]);
  });

  test("the token of cluster API cannot be empty", async () => {
    await using server = await serve(fakeDomain());
    const set = async (body: object) =>
      (await call(server.socket, "POST", "/1.0/x/capi/set-auth-token", { body })).json;
    expect(await set({ token: "" })).toEqual(error(500, "token cannot be empty"));
    expect((await set({ token: "t", more: 1 })).metadata).toEqual({});
  });
});
