import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { expect, test } from "vitest";
import { createHttpApp } from "../../../src/http/app.ts";
import type { Endpoint } from "../../../src/http/endpoint.ts";
import { listenUnix } from "../../../src/http/listeners.ts";
import { call, fakeDomain } from "./fixtures.ts";

/** Rows with header rules; the real ones come with their own slices. */
const row = (access: "capi-auth-token" | "node-token"): Endpoint => ({
  method: "POST",
  path: `/${access}`,
  request: undefined,
  access,
  beforeInit: false,
  strict: true,
  handle: async () => ({}),
});

async function listen(headerTokenHash = fakeDomain().headerTokenHash) {
  const directory = await mkdtemp(join(tmpdir(), "http-"));
  const app = createHttpApp(
    {},
    {
      rows: [row("capi-auth-token"), row("node-token")],
      domain: fakeDomain({ headerTokenHash }),
      log: pino({ level: "silent" }),
      closing: new AbortController().signal,
      now: Date.now,
    },
  );
  const listener = await listenUnix({ path: join(directory, "s") }, app.listener("unix"));
  return {
    address: listener.address,
    [Symbol.asyncDispose]: async () => {
      await listener.close(0);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

test.each(["capi-auth-token", "node-token"])(
  "%s is asked of root on the socket too, and must be right",
  async (header) => {
    await using server = await listen();
    const ask = async (headers: Record<string, string>) => {
      const { status, json } = await call(server.address, "POST", `/${header}`, { headers });
      return [status, json.error];
    };
    expect(await ask({})).toEqual([401, `missing header "${header}"`]);
    expect(await ask({ [header]: "" })).toEqual([401, `missing header "${header}"`]);
    expect(await ask({ [header]: "wrong" })).toEqual([401, "invalid token"]);
    expect(await ask({ [header]: `${header}-secret` })).toEqual([200, ""]);
    expect(await ask({ [header.toUpperCase()]: `${header}-secret` })).toEqual([200, ""]);
  },
);

test("no token set: none is right", async () => {
  await using server = await listen(async () => undefined);
  const { status, json } = await call(server.address, "POST", "/capi-auth-token", {
    headers: { "capi-auth-token": "x" },
  });
  expect([status, json.error]).toEqual([401, "invalid token"]);
});

test.each([
  ["capi-auth-token", "check CAPI auth token database transaction failed: gone"],
  ["node-token", "failed to read node access token: gone"],
])("%s that cannot be read is an error", async (header, message) => {
  await using server = await listen(() => Promise.reject(new Error("gone")));
  const { status, json } = await call(server.address, "POST", `/${header}`, { headers: { [header]: "x" } });
  expect([status, json.error]).toEqual([500, message]);
});
