import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AuthTokens, createAuthTokens } from "../../../src/cluster/auth-tokens.ts";
import { createRecords } from "../../../src/cluster/records.ts";
import { createSeal } from "../../../src/cluster/seal.ts";
import { createEtcdClient } from "../../../src/datastore/client.ts";
import { startEngine, temporaryFolder } from "../datastore/support/engine-process.ts";

const signal = AbortSignal.timeout(60_000);
let stack: AsyncDisposableStack;
let tokens: AuthTokens;
let stored: () => Promise<string>;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const engine = stack.use(
    await startEngine(["--data-dir", folder.path, "--listen-client-urls", "http://127.0.0.1:0"]),
  );
  const datastore = stack.use(createEtcdClient({ endpoints: [engine.endpoint] }));
  tokens = createAuthTokens(createRecords(datastore), createSeal(randomBytes(32)));
  stored = async () => {
    const { kvs } = await datastore.range({ prefix: "k8sd/" });
    return kvs.map(({ key, value }) => `${Buffer.from(key)}=${Buffer.from(value)}`).join("\n");
  };
});
afterAll(() => stack.disposeAsync());

describe("tokens for the webhook", () => {
  test("belong to a user with groups, whatever their order, until they are revoked", async () => {
    const token = await tokens.create({ username: "ada", groups: ["b", "a"] }, signal);
    expect(token).toMatch(/^token::[0-9a-f]{40}$/);
    expect(await tokens.create({ username: "ada", groups: ["a", "b"] }, signal)).toBe(token);
    expect(await tokens.create({ username: "ada", groups: ["a"] }, signal)).not.toBe(token);
    expect(await tokens.check(token, signal)).toEqual({ username: "ada", groups: ["a", "b"] });
    expect(await stored()).not.toContain(token.slice("token::".length));

    await tokens.revoke(token, signal);
    await tokens.revoke(token, signal);
    expect(await tokens.check(token, signal)).toBeUndefined();
    const next = await tokens.create({ username: "ada", groups: ["a", "b"] }, signal);
    expect(next).not.toBe(token);
    expect(await tokens.check(token, signal)).toBeUndefined();
    expect(await tokens.check(next, signal)).toEqual({ username: "ada", groups: ["a", "b"] });

    expect(await tokens.check(`token::${"0".repeat(40)}`, signal)).toBeUndefined();
    expect(await tokens.check("", signal)).toBeUndefined();
  });

  test.each([
    [{ username: "", groups: [] }, "username cannot be empty"],
    [{ username: "ada", groups: [""] }, "invalid groups: group cannot be empty"],
    [{ username: "ada", groups: ["a", "a"] }, "invalid groups: duplicate group a"],
  ])("are refused for %j", async (user, message) => {
    await expect(tokens.create(user, signal)).rejects.toMatchObject({ kind: "invalid", message });
  });

  test("are not revoked without a name", async () => {
    await expect(tokens.revoke("", signal)).rejects.toMatchObject({ message: "token cannot be empty" });
  });
});
