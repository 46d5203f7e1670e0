/** Bytes from outside are wrong: too long, cut off, or not what they claim. Never leaves the codec. */
export class WireError extends Error {
  override readonly name = "WireError";
}

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const maxIdLength = 64;

export interface Writer {
  byte(value: number): void;
  /** Non-negative, at most Number.MAX_SAFE_INTEGER; seven bits a byte. */
  number(value: number): void;
  bytes(value: Uint8Array): void;
  fixed(value: Uint8Array): void;
  text(value: string): void;
  id(value: string): void;
  finish(): Uint8Array;
}

export function createWriter(): Writer {
  let buffer = Buffer.allocUnsafe(256);
  let at = 0;
  const room = (size: number): void => {
    if (at + size <= buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(buffer.length * 2, at + size));
    buffer.copy(larger, 0, 0, at);
    buffer = larger;
  };
  const writer: Writer = {
    byte: (value) => {
      room(1);
      buffer[at++] = value;
    },
    number: (value) => {
      room(8);
      let rest = value;
      while (rest >= 0x80) {
        buffer[at++] = (rest % 0x80) | 0x80;
        rest = Math.floor(rest / 0x80);
      }
      buffer[at++] = rest;
    },
    bytes: (value) => {
      writer.number(value.length);
      writer.fixed(value);
    },
    fixed: (value) => {
      room(value.length);
      buffer.set(value, at);
      at += value.length;
    },
    text: (value) => {
      const size = Buffer.byteLength(value);
      writer.number(size);
      room(size);
      at += buffer.write(value, at);
    },
    id: (value) => {
      if (!uuidPattern.test(value)) {
        writer.text(value);
        return;
      }
      // A UUID is most of what a message consists of: 17 bytes, not 37. No text has length 0 as an id.
      room(17);
      buffer[at++] = 0;
      at += buffer.write(value.replaceAll("-", ""), at, "hex");
    },
    finish: () => buffer.subarray(0, at),
  };
  return writer;
}

export interface Reader {
  byte(): number;
  number(): number;
  bytes(max: number): Uint8Array;
  fixed(size: number): Uint8Array;
  text(max: number): string;
  id(): string;
  /** A count of things that follow, each at least one byte long. */
  count(max: number): number;
  end(): void;
}

export function createReader(input: Uint8Array): Reader {
  const buffer = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  let at = 0;
  const take = (size: number): number => {
    if (size > buffer.length - at) throw new WireError("cut off");
    const start = at;
    at += size;
    return start;
  };
  const bounded = (max: number): number => {
    const size = reader.number();
    if (size > max) throw new WireError(`${size} is more than ${max}`);
    return size;
  };
  const reader: Reader = {
    byte: () => buffer[take(1)] as number,
    number: () => {
      let value = 0;
      let factor = 1;
      for (let length = 0; length < 8; length++) {
        const byte = buffer[take(1)] as number;
        value += (byte & 0x7f) * factor;
        if (byte < 0x80) {
          if (value > Number.MAX_SAFE_INTEGER) break;
          return value;
        }
        factor *= 0x80;
      }
      throw new WireError("number too large");
    },
    bytes: (max) => reader.fixed(bounded(max)),
    fixed: (size) => {
      const start = take(size);
      return new Uint8Array(buffer.subarray(start, start + size));
    },
    text: (max) => {
      const size = bounded(max);
      const start = take(size);
      return buffer.toString("utf8", start, start + size);
    },
    id: () => {
      const size = bounded(maxIdLength);
      if (size > 0) {
        const start = take(size);
        return buffer.toString("utf8", start, start + size);
      }
      const start = take(16);
      const hex = buffer.toString("hex", start, start + 16);
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    },
    count: (max) => {
      const count = bounded(max);
      if (count > buffer.length - at) throw new WireError("cut off");
      return count;
    },
    end: () => {
      if (at !== buffer.length) throw new WireError("bytes after the end");
    },
  };
  return reader;
}
