import { createCipheriv, createDecipheriv } from "node:crypto";
import { AppError } from "../../lib/app-error.ts";

/** Reads exactly so many bytes; fewer only at the end of the file. */
export type ReadBytes = (length: number) => Promise<Buffer>;

const algorithm = "aes-256-gcm";
const frameBytes = 256 * 1024;
const tagBytes = 16;
const lengthBytes = 4;
/** In the length of the last frame. */
const lastBit = 0x8000_0000;

/**
 * AES-256-GCM in frames of bounded size. The nonce of each is its number and whether it is the last one: frames that are
 * missing, doubled or in another order do not open. A key is used for one file alone, so no nonce comes twice.
 */
export async function* encryptFrames(plain: AsyncIterable<Uint8Array>, key: Buffer): AsyncGenerator<Buffer> {
  let number = 0;
  let held: Buffer[] = [];
  let size = 0;
  for await (const part of plain) {
    held.push(Buffer.from(part.buffer, part.byteOffset, part.byteLength));
    size += part.byteLength;
    // One byte stays behind, so that the last frame is never empty but for no content at all.
    if (size <= frameBytes) continue;
    const all = Buffer.concat(held);
    let at = 0;
    for (; all.length - at > frameBytes; at += frameBytes) {
      yield frame(all.subarray(at, at + frameBytes), key, number, false);
      number += 1;
    }
    held = [all.subarray(at)];
    size = all.length - at;
  }
  yield frame(Buffer.concat(held), key, number, true);
}

function frame(plain: Buffer, key: Buffer, number: number, last: boolean): Buffer {
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32BE((last ? lastBit : 0) + plain.length);
  const cipher = createCipheriv(algorithm, key, nonceOf(number, last), { authTagLength: tagBytes });
  cipher.setAAD(length);
  return Buffer.concat([length, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

export async function* decryptFrames(read: ReadBytes, key: Buffer): AsyncGenerator<Buffer> {
  for (let number = 0; ; number++) {
    const head = await exactly(read, lengthBytes);
    const word = head.readUInt32BE();
    const last = word >= lastBit;
    const length = last ? word - lastBit : word;
    if (length > frameBytes) throw damaged();
    const body = await exactly(read, length + tagBytes);
    const decipher = createDecipheriv(algorithm, key, nonceOf(number, last), { authTagLength: tagBytes });
    decipher.setAAD(head);
    decipher.setAuthTag(body.subarray(length));
    let plain: Buffer;
    try {
      plain = Buffer.concat([decipher.update(body.subarray(0, length)), decipher.final()]);
    } catch (cause) {
      throw damaged(cause);
    }
    if (plain.length > 0) yield plain;
    if (last) return;
  }
}

export async function exactly(read: ReadBytes, length: number): Promise<Buffer> {
  const bytes = await read(length);
  if (bytes.length === length) return bytes;
  throw new AppError("invalid", "cannot open the snapshot: the file ends too early", {
    remedy: "Fetch it again, or use another one.",
  });
}

export function damaged(cause?: unknown): AppError {
  return new AppError("invalid", "cannot open the snapshot: it was damaged or changed", {
    cause,
    remedy: "Fetch it again, or use another one.",
  });
}

function nonceOf(number: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64BE(BigInt(number));
  nonce.writeUInt8(last ? 1 : 0, 11);
  return nonce;
}
