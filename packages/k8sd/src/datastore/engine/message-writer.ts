import { headroom } from "./http2/outbox.ts";

/**
 * Writes protobuf messages from their end to their beginning: the length that comes before a nested message is then known when
 * its turn comes. One buffer serves all messages. Fields are written last to first; absent ones are not written by the caller's
 * calls either, because zero and empty are what absent means.
 */
export interface MessageWriter {
  bytes(field: number, value: Uint8Array): void;
  /** The same for a part of a longer one. */
  part(field: number, bytes: Buffer, from: number, to: number): void;
  /** Not negative, up to 2^53. */
  number(field: number, value: number): void;
  bigint(field: number, value: bigint): void;
  bool(field: number, value: boolean): void;
  /** Where a nested message ends, for `nest`. */
  mark(): number;
  nest(field: number, end: number): void;
  /** A whole message that was encoded elsewhere. */
  raw(bytes: Uint8Array): void;
  /** What was written since the last call, as a gRPC message behind the room for its frame. */
  finish(): Buffer;
}

/** Writes one message; called once, when it is sent. */
export type MessageEncoder = (writer: MessageWriter) => void;

/** A flag byte (not compressed) and four bytes of length. */
export const prefixBytes = 5;
const usualBytes = 64 * 1024;
const longestVarint = 10;
/** Every header has the same two large numbers. */
const mostKnown = 16;
const noBytes: number[] = [];
const wireType = { varint: 0, bytes: 2 } as const;

export function createMessageWriter(): MessageWriter {
  let buffer = Buffer.allocUnsafeSlow(usualBytes);
  let at = buffer.length;
  const known = new Map<bigint, readonly number[]>();

  function reserve(size: number): void {
    if (at >= size) return;
    const used = buffer.length - at;
    const larger = Buffer.allocUnsafeSlow(Math.max(buffer.length * 2, used + size));
    buffer.copy(larger, larger.length - used, at);
    buffer = larger;
    at = larger.length - used;
  }

  function varint(value: number): void {
    if (value < 0x80) {
      buffer[--at] = value;
      return;
    }
    let rest = value;
    let before = noBytes;
    // Beyond 31 bits the bit operations below would cut.
    if (rest > 0x7fffffff) {
      before = [];
      for (; rest > 0x7fffffff; rest = Math.floor(rest / 0x80)) before.push((rest % 0x80) | 0x80);
    }
    const size =
      before.length + (rest < 0x80 ? 1 : rest < 0x4000 ? 2 : rest < 0x200000 ? 3 : rest < 0x10000000 ? 4 : 5);
    at -= size;
    let index = at;
    for (const byte of before) buffer[index++] = byte;
    for (; rest >= 0x80; rest >>>= 7) buffer[index++] = (rest & 0x7f) | 0x80;
    buffer[index] = rest;
  }

  function varintOf(value: bigint): readonly number[] {
    const written = known.get(value);
    if (written) return written;
    const bytes: number[] = [];
    for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
      const more = rest >= 0x80n;
      bytes.push(Number(rest & 0x7fn) | (more ? 0x80 : 0));
      if (!more) break;
    }
    if (known.size >= mostKnown) known.clear();
    known.set(value, bytes);
    return bytes;
  }

  const tag = (field: number, type: number): void => varint(field * 8 + type);

  return {
    bytes(field, value) {
      if (value.length === 0) return;
      reserve(value.length + 2 * longestVarint);
      at -= value.length;
      buffer.set(value, at);
      varint(value.length);
      tag(field, wireType.bytes);
    },
    part(field, bytes, from, to) {
      const size = to - from;
      if (size === 0) return;
      reserve(size + 2 * longestVarint);
      at -= size;
      bytes.copy(buffer, at, from, to);
      varint(size);
      tag(field, wireType.bytes);
    },
    number(field, value) {
      if (value === 0) return;
      reserve(2 * longestVarint);
      varint(value);
      tag(field, wireType.varint);
    },
    bigint(field, value) {
      if (value === 0n) return;
      reserve(2 * longestVarint);
      const bytes = varintOf(value);
      at -= bytes.length;
      buffer.set(bytes, at);
      tag(field, wireType.varint);
    },
    bool(field, value) {
      if (!value) return;
      reserve(2 * longestVarint);
      varint(1);
      tag(field, wireType.varint);
    },
    mark: () => buffer.length - at,
    nest(field, end) {
      reserve(2 * longestVarint);
      varint(buffer.length - at - end);
      tag(field, wireType.bytes);
    },
    raw(bytes) {
      reserve(bytes.length);
      at -= bytes.length;
      buffer.set(bytes, at);
    },
    finish() {
      const start = headroom + prefixBytes;
      const message = Buffer.allocUnsafe(start + buffer.length - at);
      message[headroom] = 0;
      message.writeUInt32BE(buffer.length - at, headroom + 1);
      buffer.copy(message, start, at);
      // One long list must not take its room for ever.
      if (buffer.length > 16 * usualBytes) buffer = Buffer.allocUnsafeSlow(usualBytes);
      at = buffer.length;
      return message;
    },
  };
}
