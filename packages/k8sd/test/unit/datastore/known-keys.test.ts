import { expect, test } from "vitest";
import { createKnownKeys, createSuppositions } from "../../../src/datastore/engine/postgres/known-keys.ts";

const key = (name: string) => Buffer.from(name);
const kv = (name: string, value = "v") => ({
  key: key(name),
  value: Buffer.from(value),
  createRevision: 2,
  modRevision: 3,
  version: 2,
  lease: 0n,
});

test("what was not used for longest is forgotten first, and only as much as has to be", () => {
  const known = createKnownKeys(3 * 1_000);
  for (const name of ["a", "b", "c"]) known.set(key(name), kv(name, "x".repeat(700)));
  expect(known.get(key("a"))?.kv?.modRevision).toBe(3);
  known.set(key("d"), kv("d", "x".repeat(700)));
  expect(["a", "b", "c", "d"].filter((name) => known.get(key(name)))).toEqual(["a", "c", "d"]);
  known.set(key("d"), undefined);
  known.set(key("e"), kv("e", "x".repeat(400)));
  expect(["a", "c", "d", "e"].filter((name) => known.get(key(name)))).toEqual(["a", "c", "d", "e"]);
  expect(known.get(key("d"))).toMatchObject({ kv: undefined });
  known.forget();
  expect(known.get(key("a"))).toBeUndefined();
});

test("it keeps nothing of the message that a value came in", () => {
  const known = createKnownKeys();
  const message = Buffer.alloc(100_000, "k");
  known.set(key("a"), { ...kv("a"), key: message.subarray(0, 5), value: message.subarray(5, 50) });
  known.set(message.subarray(0, 5), { ...kv("a"), key: message.subarray(0, 5), value: message.subarray(5, 50) });
  const found = known.get(Buffer.from("kkkkk"))?.kv;
  expect(found?.value.length).toBe(45);
  expect(found?.value.buffer.byteLength).toBe(45);
  expect(found?.key.buffer.byteLength).toBe(5);
});

test("a key that is not known is supposed not to exist; what is more than a key is lacking", () => {
  const known = createKnownKeys();
  known.set(key("here"), kv("here"));
  known.set(key("gone"), undefined);
  const needs = createSuppositions(known);
  const found = needs.attempt(() => ["here", "gone", "new"].map((name) => needs.find(key(name))?.version));
  expect(found).toEqual({ value: [2, undefined, undefined] });
  expect(needs.supposed.map(String)).toEqual(["new"]);
  const span = { kind: "from", key: key("a") } as const;
  expect(needs.attempt(() => needs.count(span))).toBeUndefined();
  expect(needs.attempt(() => needs.lease(1n))).toBeUndefined();
  expect(() =>
    needs.attempt(() => {
      throw new Error("its own");
    }),
  ).toThrow("its own");
});
