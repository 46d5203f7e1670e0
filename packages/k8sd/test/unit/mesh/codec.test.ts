import { describe, expect, test } from "vitest";
import { decode, encode, limits } from "../../../src/mesh/codec.ts";
import type { Message } from "../../../src/mesh/messages.ts";

const id = "0f8fad5b-d9cb-469f-a165-70867728950e";
const from = {
  incarnation: 1_700_000_000_000,
  leaving: true,
  updates: [
    { id, state: "suspect" as const, incarnation: 3, by: "node-1" },
    { id: "node-2", state: "left" as const, incarnation: 0 },
  ],
};
const head = { epoch: 2, revision: 2 ** 40 };
const signed = { ...head, root: new Uint8Array(32).fill(7), author: id, signature: new Uint8Array([1, 2, 3]) };

const messages: readonly Message[] = [
  { type: "ping", ...from, seq: 1, head },
  { type: "ack", ...from, seq: 300, head, wallTime: 1_700_000_000_123 },
  { type: "ping-request", ...from, seq: 2, target: id },
  { type: "nack", ...from, seq: 2 },
  { type: "relayed", ...from, seq: 2 },
  { type: "gossip", ...from },
  { type: "sync", ...from, digest: 2 ** 32 - 1 },
  { type: "states", ...from, reply: true },
  { type: "addresses", entries: [{ id, incarnation: 9, addresses: ["[::1]:6401", "host:6401"] }] },
  { type: "pull", have: head, after: "members/ü" },
  { type: "announce", head },
  {
    type: "chunk",
    head: signed,
    base: { epoch: 2, revision: 1 },
    after: "",
    last: true,
    entries: [{ key: "a", value: "{}", revision: 5 }],
    removed: [{ key: "b", revision: 6 }],
  },
  { type: "chunk", head: signed, base: undefined, after: "a", last: false, entries: [], removed: [] },
];

describe("messages", () => {
  test.each(messages.map((message) => [message.type, message] as const))("%s survives the wire", (_, message) => {
    expect(decode(encode(message))).toEqual(message);
  });

  test("whatever is cut off, longer, or of another version is no message", () => {
    for (const message of messages) {
      const bytes = encode(message);
      for (let size = 0; size < bytes.length; size++) expect(decode(bytes.subarray(0, size))).toBeUndefined();
      expect(decode(Buffer.concat([bytes, Buffer.from([0])]))).toBeUndefined();
      expect(decode(Buffer.concat([Buffer.from([2]), bytes.subarray(1)]))).toBeUndefined();
    }
  });

  test("nobody can say so much of another one that its objection would be no message any more", () => {
    const { incarnation: most } = limits;
    const said = (incarnation: number) => ({ id, state: "dead" as const, incarnation });
    const updates = [said(most), said(most + 1), said(Number.MAX_SAFE_INTEGER)];
    const gossip = { type: "gossip", incarnation: 1, leaving: false, updates } as const;
    expect(decode(encode(gossip))).toEqual({ ...gossip, updates: [said(most)] });
    const objection = { ...gossip, incarnation: most + 1, leaving: true, updates: [] };
    expect(decode(encode(objection))).toEqual(objection);
  });

  test("random bytes never throw", () => {
    let state = 1;
    for (let run = 0; run < 2_000; run++) {
      const bytes = Uint8Array.from({ length: run % 60 }, () => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
        return state >>> 24;
      });
      bytes.set([1, run % 14].slice(0, bytes.length));
      expect(() => decode(bytes)).not.toThrow();
    }
  });

  test("a message above the limit is refused unread", () => {
    expect(decode(new Uint8Array(limits.messageBytes + 1))).toBeUndefined();
  });
});
