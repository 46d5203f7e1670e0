import { Http2Error, http2Error } from "./http2-error.ts";

export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const flag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const setting = {
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

export const frameHeaderBytes = 9;
/** The protocol's default, which is not changed by our settings. */
export const maxFrameBytes = 16_384;
export const defaultWindow = 65_535;
export const largestWindow = 2 ** 31 - 1;

export type OnFrame = (type: number, flags: number, streamId: number, payload: Buffer) => void;

export function writeFrameHeader(into: Buffer, at: number, length: number, type: number, flags: number, id: number) {
  into[at] = length >>> 16;
  into[at + 1] = length >>> 8;
  into[at + 2] = length;
  into[at + 3] = type;
  into[at + 4] = flags;
  into[at + 5] = id >>> 24;
  into[at + 6] = id >>> 16;
  into[at + 7] = id >>> 8;
  into[at + 8] = id;
}

export function frame(type: number, flags: number, id: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderBytes + payload.length);
  writeFrameHeader(bytes, 0, payload.length, type, flags, id);
  bytes.set(payload, frameHeaderBytes);
  return bytes;
}

export function numberFrame(type: number, id: number, value: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32BE(value);
  return frame(type, 0, id, payload);
}

export function settingsFrame(settings: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.allocUnsafe(settings.length * 6);
  for (const [index, [name, value]] of settings.entries()) {
    payload.writeUInt16BE(name, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  }
  return frame(frameType.settings, 0, 0, payload);
}

export function goawayFrame(lastId: number, code: number): Buffer {
  const payload = Buffer.allocUnsafe(8);
  payload.writeUInt32BE(lastId);
  payload.writeUInt32BE(code, 4);
  return frame(frameType.goaway, 0, 0, payload);
}

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Cuts what arrives into frames; payloads are slices of the chunk they came in. */
export function createFrameParser(onFrame: OnFrame): (chunk: Buffer) => void {
  let rest: Buffer | undefined;
  let greeted = false;

  return (chunk) => {
    const bytes = rest ? Buffer.concat([rest, chunk]) : chunk;
    rest = undefined;
    let at = 0;
    if (!greeted) {
      const length = Math.min(preface.length, bytes.length);
      if (bytes.compare(preface, 0, length, 0, length) !== 0) {
        throw new Http2Error(http2Error.protocol, "not an HTTP/2 client");
      }
      if (bytes.length < preface.length) {
        rest = bytes;
        return;
      }
      greeted = true;
      at = preface.length;
    }
    while (at + frameHeaderBytes <= bytes.length) {
      const length = bytes.readUIntBE(at, 3);
      if (length > maxFrameBytes) throw new Http2Error(http2Error.frameSize, "frame is too large");
      const start = at + frameHeaderBytes;
      if (start + length > bytes.length) break;
      const id = bytes.readUInt32BE(at + 5) & largestWindow;
      onFrame(bytes[at + 3] ?? 0, bytes[at + 4] ?? 0, id, bytes.subarray(start, start + length));
      at = start + length;
    }
    // A copy, so that a few bytes do not keep the whole chunk.
    if (at < bytes.length) rest = Buffer.from(bytes.subarray(at));
  };
}

/** The payload without its padding. */
export function unpadded(flags: number, payload: Buffer): Buffer {
  if (!(flags & flag.padded)) return payload;
  const padding = payload[0] ?? 0;
  if (payload.length < 1 + padding) throw new Http2Error(http2Error.protocol, "padding is longer than its frame");
  return payload.subarray(1, payload.length - padding);
}
