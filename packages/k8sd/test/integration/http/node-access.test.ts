import { describe, expect, test } from "vitest";
import { call, fakeDomain, serve } from "./fixtures.ts";

const path = "/1.0/kubernetes/auth/node-webhook";
const no = { allowed: false, denied: true };

describe("kube-apiserver's question about the certificate of a node", () => {
  test.each([
    ["a member's: the next authorizer decides", "k8sd.io/node/known", { allowed: false }],
    ["another's", "k8sd.io/node/gone", { ...no, reason: expect.stringContaining("a node that is no member") }],
    ["no node's", "known", { ...no, reason: expect.stringContaining("a node that is no member") }],
  ])("is answered without the envelope: %s", async (_case, uid, status) => {
    await using server = await serve(fakeDomain({ isMember: (id) => id === "known" }));
    const spec = { user: "system:node:w1", groups: ["system:nodes"], uid, resourceAttributes: { verb: "get" } };
    const { status: code, json } = await call(server.tls.address, "POST", path, {
      body: { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", metadata: {}, spec },
    });
    expect(code).toBe(200);
    expect(json).toMatchObject({ apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview" });
    expect(json.status).toEqual(status);
  });

  test.each(["{", '{"spec":{"uid":7}}'])("is refused when it cannot be read: %s", async (body) => {
    await using server = await serve(fakeDomain({ isMember: () => true }));
    const { status, json } = await call(server.tls.address, "POST", path, { body });
    expect(status).toBe(400);
    expect(json.status).toMatchObject({ ...no, reason: expect.stringContaining("SubjectAccessReview") });
  });
});
