import { createSecretKey, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { seal, unseal } from "../../../src/pki/seal.ts";

const key = createSecretKey(randomBytes(32));
const secret = Buffer.from("an authority's key");

test("a sealed secret opens with the key it was sealed with", () => {
  expect(unseal(seal(secret, key, "ca-key"), key, "ca-key")).toEqual(secret);
  expect(unseal(seal(Buffer.of(), key, "x"), key, "x")).toEqual(Buffer.of());
});

test("what is sealed shows nothing of the secret, nor that two are the same", () => {
  const sealed = seal(secret, key, "ca-key");
  expect(sealed.includes(secret)).toBe(false);
  expect(sealed.equals(seal(secret, key, "ca-key"))).toBe(false);
});

test("it does not open with another key, under another name, changed or cut", () => {
  const sealed = seal(secret, key, "ca-key");
  expect(() => unseal(sealed, createSecretKey(randomBytes(32)), "ca-key")).toThrow(/another key/);
  expect(() => unseal(sealed, key, "etcd-ca-key")).toThrow(/cannot open the sealed etcd-ca-key/);
  for (let position = 0; position < sealed.length; position++) {
    const changed = Buffer.from(sealed);
    changed.writeUInt8(changed.readUInt8(position) ^ 1, position);
    expect(() => unseal(changed, key, "ca-key"), `byte ${position}`).toThrow(/cannot open/);
    expect(() => unseal(sealed.subarray(0, position), key, "ca-key"), `cut at ${position}`).toThrow(/cannot open/);
  }
});
