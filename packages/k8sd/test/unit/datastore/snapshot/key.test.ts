import { describe, expect, test } from "vitest";
import { createSnapshotKey, keyIdOf, keysFor, keysForNew, lockOf } from "../../../../src/datastore/snapshot/key.ts";

describe("the key of snapshots", () => {
  test("opens what its lock closed, and each snapshot has keys of its own", () => {
    const { text, lock } = createSnapshotKey();
    const one = keysForNew(lock);
    const two = keysForNew(lock);
    expect(keysFor(one.hint, text)).toEqual(one.keys);
    expect(keysFor(two.hint, text)).toEqual(two.keys);
    expect(one.keys.content).not.toEqual(two.keys.content);
    expect(one.keys.content).not.toEqual(one.keys.header);
  });

  test("is found in a file with comments, and gives its lock", () => {
    const { text, lock } = createSnapshotKey();
    expect(lockOf(`# a comment\n\n  ${text}\r\n`)).toBe(lock);
    expect(keyIdOf(lock)).toMatch(/^[0-9a-f]{16}$/);
  });

  test("is not in the lock", () => {
    const { text, lock } = createSnapshotKey();
    const secret = (of: string) => Buffer.from(of.slice(of.indexOf(":") + 1), "base64url").subarray(0, 32);
    expect(secret(text)).not.toEqual(secret(lock));
    expect(() => lockOf(lock)).toThrow("is no key of snapshots");
  });

  test("that is another one is told apart by its name", () => {
    const { hint } = keysForNew(createSnapshotKey().lock);
    expect(() => keysFor(hint, createSnapshotKey().text)).toThrow(`it needs the key ${hint.id}`);
  });

  test("that was mistyped or cut off is none", () => {
    const { text } = createSnapshotKey();
    const changed = text.slice(0, 40) + (text[40] === "A" ? "B" : "A") + text.slice(41);
    for (const wrong of [changed, text.slice(0, -1), "", "secret"]) {
      expect(() => lockOf(wrong)).toThrow("is no key of snapshots");
    }
  });
});
