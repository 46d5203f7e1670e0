import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { AppError } from "../lib/app-error.ts";
import { namesIn } from "../lib/read-file.ts";

/** How far the log of an etcd member reaches, read from its files; the member may run meanwhile or not. */
export interface EtcdLog {
  /** Of its last entry. Of two logs the one with the higher term is newer, of equal terms the longer one: Raft's own rule. */
  readonly term: number;
  readonly index: number;
  /** Up to here the member knows that a majority had it. */
  readonly confirmed: number;
}

/** Types of records in the log's files. */
const kind = { metadata: 1, entry: 2, state: 3, crc: 4, snapshot: 5 } as const;

interface HardState {
  readonly term: number;
  readonly vote: bigint;
  readonly commit: number;
}

interface Segment {
  readonly file: string;
  readonly last: { readonly term: number; readonly index: number } | undefined;
  readonly state: HardState | undefined;
  /** Where the next record goes, and the checksum that it continues. */
  readonly end: number;
  readonly crc: number;
}

/** Every file of the log begins with a checksum and with whose it is, in less than this. */
const headBytes = 4_096;

const walOf = (dataDir: string): string => join(dataDir, "member", "wal");

/** Undefined: there is no log. */
export async function readEtcdLog(dataDir: string): Promise<EtcdLog | undefined> {
  const files = await segmentFiles(dataDir);
  let state: HardState | undefined;
  // The last file has the end, and where it was just begun the one before.
  for (const file of files.toReversed()) {
    const segment = await readSegment(file);
    state ??= segment.state;
    if (segment.last !== undefined) return { ...segment.last, confirmed: state?.commit ?? 0 };
  }
  return undefined;
}

/** The ID under which the member has begun its log. Undefined: it has not. */
export async function readMemberId(dataDir: string): Promise<bigint | undefined> {
  const [file] = await segmentFiles(dataDir);
  if (file === undefined) return undefined;
  await using handle = await open(file);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(headBytes), 0, headBytes, 0);
  for (const { record } of recordsIn(buffer.subarray(0, bytesRead))) {
    if (record.type !== kind.metadata) continue;
    const id = fieldsOf(record.data).get(1);
    return typeof id === "bigint" ? id : undefined;
  }
  return undefined;
}

/**
 * Declares everything in the log confirmed, as the members would that elect the one with this log: `--force-new-cluster`
 * drops what is not known to be confirmed, although others may have acknowledged it. Only for a member that does not run.
 */
export async function confirmEtcdLog(dataDir: string): Promise<EtcdLog> {
  const log = await readEtcdLog(dataDir);
  const [file] = (await segmentFiles(dataDir)).toReversed();
  if (log === undefined || file === undefined) {
    throw new AppError("not-found", `cannot recover from ${dataDir}: it holds no log of etcd`);
  }
  if (log.confirmed >= log.index) return log;
  const segment = await readSegment(file);
  const state = segment.state ?? { term: log.term, vote: 0n, commit: 0 };
  const data = new BinaryWriter()
    .uint32(8)
    .uint64(state.term)
    .uint32(16)
    .uint64(state.vote)
    .uint32(24)
    .uint64(log.index)
    .finish();
  const record = new BinaryWriter()
    .uint32(8)
    .int64(kind.state)
    .uint32(16)
    .uint32(crc32c(segment.crc, data))
    .uint32(26)
    .bytes(data)
    .finish();
  const handle = await open(file, "r+");
  try {
    const framed = frame(record);
    await handle.write(framed, 0, framed.length, segment.end);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { ...log, confirmed: log.index };
}

async function segmentFiles(dataDir: string): Promise<readonly string[]> {
  const names = await namesIn(walOf(dataDir));
  return names.filter((name) => name.endsWith(".wal")).map((name) => join(walOf(dataDir), name));
}

async function readSegment(file: string): Promise<Segment> {
  let last: Segment["last"];
  let state: HardState | undefined;
  let crc = 0;
  let end = 0;
  for (const { record, next } of recordsIn(await readFile(file))) {
    if (record.type === kind.crc) crc = record.crc;
    else {
      const sum = crc32c(crc, record.data);
      if (sum !== record.crc) break;
      crc = sum;
      if (record.type === kind.entry) last = entryOf(record.data);
      if (record.type === kind.state) state = stateOf(record.data);
      // A snapshot stands for the entries before it.
      if (record.type === kind.snapshot) last = newer(last, snapshotOf(record.data));
    }
    end = next;
  }
  return { file, last, state, end, crc };
}

/** Up to the first record that is not whole: what follows was never confirmed to anybody. */
function* recordsIn(bytes: Buffer): Generator<{ readonly record: LogRecord; readonly next: number }> {
  let at = 0;
  while (at + 8 <= bytes.length) {
    const head = bytes.readBigUInt64LE(at);
    if (head === 0n) return;
    const length = Number(head & 0xff_ffff_ffff_ffffn);
    const padding = head >> 63n === 1n ? Number((head >> 56n) & 7n) : 0;
    const next = at + 8 + length + padding;
    if (next > bytes.length) return;
    const record = readRecord(bytes.subarray(at + 8, at + 8 + length));
    if (record === undefined) return;
    yield { record, next };
    at = next;
  }
}

interface LogRecord {
  readonly type: number;
  readonly crc: number;
  readonly data: Uint8Array;
}

function readRecord(bytes: Uint8Array): LogRecord | undefined {
  try {
    const fields = fieldsOf(bytes);
    const data = fields.get(3);
    return {
      type: Number(fields.get(1) ?? 0n),
      crc: Number(fields.get(2) ?? 0n) >>> 0,
      data: data instanceof Uint8Array ? data : new Uint8Array(),
    };
  } catch {
    // Half written.
    return undefined;
  }
}

type Fields = ReadonlyMap<number, bigint | Uint8Array>;

function fieldsOf(bytes: Uint8Array): Fields {
  const reader = new BinaryReader(bytes);
  const fields = new Map<number, bigint | Uint8Array>();
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (wire === 0) fields.set(field, BigInt(reader.uint64()));
    else if (wire === 2) fields.set(field, reader.bytes());
    else reader.skip(wire);
  }
  return fields;
}

const numberAt = (fields: Fields, field: number): number => Number(fields.get(field) ?? 0n);

function entryOf(data: Uint8Array): NonNullable<Segment["last"]> {
  const fields = fieldsOf(data);
  return { term: numberAt(fields, 2), index: numberAt(fields, 3) };
}

function snapshotOf(data: Uint8Array): NonNullable<Segment["last"]> {
  const fields = fieldsOf(data);
  return { term: numberAt(fields, 2), index: numberAt(fields, 1) };
}

function stateOf(data: Uint8Array): HardState {
  const fields = fieldsOf(data);
  const vote = fields.get(2);
  return { term: numberAt(fields, 1), vote: typeof vote === "bigint" ? vote : 0n, commit: numberAt(fields, 3) };
}

function newer(a: Segment["last"], b: NonNullable<Segment["last"]>): NonNullable<Segment["last"]> {
  return a === undefined || b.index > a.index ? b : a;
}

/** Eight bytes of length and padding, then the record, to a multiple of eight. */
function frame(record: Uint8Array): Buffer {
  const padding = (8 - (record.length % 8)) % 8;
  const framed = Buffer.alloc(8 + record.length + padding);
  const mark = padding === 0 ? 0n : BigInt(0x80 | padding) << 56n;
  framed.writeBigUInt64LE(mark | BigInt(record.length), 0);
  framed.set(record, 8);
  return framed;
}

/** CRC-32C (Castagnoli), continued from an earlier sum. */
const table = Uint32Array.from({ length: 256 }, (_, value) => {
  let sum = value;
  for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0x82f6_3b78 : sum >>> 1;
  return sum;
});

function crc32c(from: number, bytes: Uint8Array): number {
  let sum = ~from >>> 0;
  for (const byte of bytes) sum = (table[(sum ^ byte) & 0xff] ?? 0) ^ (sum >>> 8);
  return ~sum >>> 0;
}
