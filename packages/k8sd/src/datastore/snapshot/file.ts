import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createZstdCompress, createZstdDecompress } from "node:zlib";
import { damaged, decryptFrames, encryptFrames, exactly, type ReadBytes } from "./frames.ts";
import {
  checkHeader,
  encodeHeader,
  headerTagBytes,
  parseHeader,
  parsePreamble,
  preambleBytes,
  type SnapshotHeader,
} from "./header.ts";
import { type FileKeys, sameBytes } from "./key.ts";
import { decodeRecords, encodeRecord, type SnapshotRecord } from "./records.ts";

/** Finds the keys of a snapshot from what its header says. */
export type Unlock = (header: SnapshotHeader) => FileKeys;

/** SHA-256 of all before it: shows a copy that went wrong to those without the key. */
const checksumBytes = 32;
const fileMode = 0o600;
/** Records are gathered before they are compressed: most are small. */
const gatherBytes = 128 * 1024;

export interface WrittenSnapshot {
  readonly bytes: number;
  /** Hexadecimal. */
  readonly checksum: string;
}

/** Writes header, encrypted content and checksum; the file is there, on the disk, when it resolves. */
export async function writeSnapshotFile(
  path: string,
  header: SnapshotHeader,
  records: AsyncIterable<SnapshotRecord>,
  keys: FileKeys,
  signal: AbortSignal,
): Promise<WrittenSnapshot> {
  const handle = await open(path, "wx", fileMode);
  try {
    const hash = createHash("sha256");
    let bytes = 0;
    const write = async (chunk: Buffer): Promise<void> => {
      hash.update(chunk);
      bytes += chunk.length;
      await handle.writeFile(chunk);
    };
    await write(encodeHeader(header, keys));
    await pipeline(
      Readable.from(gathered(records), { objectMode: false }),
      createZstdCompress(),
      async (compressed: AsyncIterable<Buffer>) => {
        for await (const frame of encryptFrames(compressed, keys.content)) await write(frame);
      },
      { signal },
    );
    const checksum = hash.digest();
    await handle.writeFile(checksum);
    await handle.chmod(fileMode);
    await handle.sync();
    return { bytes: bytes + checksum.length, checksum: checksum.toString("hex") };
  } finally {
    await handle.close();
  }
}

async function* gathered(records: AsyncIterable<SnapshotRecord>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let size = 0;
  for await (const record of records) {
    const part = encodeRecord(record);
    parts.push(part);
    size += part.length;
    if (size < gatherBytes) continue;
    yield Buffer.concat(parts);
    parts = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(parts);
}

/** What the file says of itself, without its key: not proved to be true. */
export async function readSnapshotHeader(path: string): Promise<SnapshotHeader> {
  const handle = await open(path, "r");
  try {
    const read = readerOf(handle);
    return (await readHead(read)).header;
  } finally {
    await handle.close();
  }
}

/** The same from the beginning of a file that is elsewhere. */
export const snapshotHeadBytes = 64 * 1024 + 256;
export async function parseSnapshotHead(bytes: Buffer): Promise<SnapshotHeader> {
  let at = 0;
  const read: ReadBytes = async (length) => {
    const part = bytes.subarray(at, at + length);
    at += part.length;
    return part;
  };
  return (await readHead(read)).header;
}

/**
 * Reads a snapshot from its beginning to its end, and resolves only when all of it was what was written. What `consume`
 * gets before that may be the beginning of a damaged file.
 */
export async function readSnapshotFile<T>(
  path: string,
  unlock: Unlock,
  consume: (records: AsyncIterable<SnapshotRecord>, header: SnapshotHeader) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const handle = await open(path, "r");
  try {
    const hash = createHash("sha256");
    const raw = readerOf(handle);
    const read: ReadBytes = async (length) => {
      const bytes = await raw(length);
      hash.update(bytes);
      return bytes;
    };
    const { header, head, tag } = await readHead(read);
    const keys = unlock(header);
    checkHeader(head, tag, keys);
    const result: { value?: T } = {};
    await pipeline(
      Readable.from(decryptFrames(read, keys.content), { objectMode: false }),
      createZstdDecompress(),
      async (plain: AsyncIterable<Buffer>) => {
        result.value = await consume(decodeRecords(readerOfStream(plain)), header);
      },
      { signal },
    );
    const wanted = hash.digest();
    if (!sameBytes(await exactly(raw, checksumBytes), wanted) || (await raw(1)).length > 0) throw damaged();
    return result.value as T;
  } finally {
    await handle.close();
  }
}

/** Whether all of it is there as it was written; who wrote it, only its key tells. */
export async function checkSnapshotFile(path: string, signal: AbortSignal): Promise<void> {
  await readSnapshotHeader(path);
  const { size } = await stat(path);
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { end: size - checksumBytes - 1 }), hash, { signal });
  const written: Buffer[] = [];
  for await (const part of createReadStream(path, { start: size - checksumBytes })) written.push(part as Buffer);
  if (!sameBytes(Buffer.concat(written), hash.digest())) throw damaged();
}

async function readHead(read: ReadBytes): Promise<{
  readonly header: SnapshotHeader;
  readonly head: Buffer;
  readonly tag: Buffer;
}> {
  const preamble = await read(preambleBytes);
  const json = await exactly(read, parsePreamble(preamble));
  const tag = await exactly(read, headerTagBytes);
  return { header: parseHeader(json), head: Buffer.concat([preamble, json]), tag };
}

function readerOf(handle: FileHandle): ReadBytes {
  return async (length) => {
    const buffer = Buffer.alloc(length);
    let at = 0;
    while (at < length) {
      const { bytesRead } = await handle.read(buffer, at, length - at);
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return buffer.subarray(0, at);
  };
}

function readerOfStream(stream: AsyncIterable<Buffer>): ReadBytes {
  const chunks = stream[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  return async (length) => {
    const parts: Buffer[] = [];
    let missing = length;
    for (;;) {
      const part = held.subarray(0, missing);
      held = held.subarray(part.length);
      parts.push(part);
      missing -= part.length;
      if (missing === 0) break;
      const next = await chunks.next();
      if (next.done) break;
      held = next.value;
    }
    return parts.length === 1 ? (parts[0] ?? held) : Buffer.concat(parts);
  };
}
