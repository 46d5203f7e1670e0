import type { KeyValue } from "../datastore.ts";
import { damaged, exactly, type ReadBytes } from "./frames.ts";

/** A snapshot's content, in this order: secrets, leases, keys by the order of their last changes, end. */
export type SnapshotRecord =
  /** What is needed beside the datastore: the cluster's authorities, the key of its seal. JSON. */
  | { readonly kind: "secrets"; readonly json: string }
  | ({ readonly kind: "lease" } & SnapshotLease)
  | { readonly kind: "key"; readonly kv: KeyValue }
  | ({ readonly kind: "end" } & SnapshotTotals);

export interface SnapshotLease {
  readonly id: bigint;
  readonly grantedSeconds: number;
  /** When the snapshot was made. */
  readonly secondsLeft: number;
}

export interface SnapshotTotals {
  readonly keys: number;
  readonly leases: number;
  /** Of every key, value and lease, as `createContentHash` has it. */
  readonly hash: string;
}

const kinds = { secrets: 1, lease: 2, key: 3, end: 4 } as const;
const headBytes = 5;
const leaseBytes = 24;
/** Revisions, version, lease, length of the key. */
const keyFixedBytes = 36;
/** Above what any datastore takes in one request. */
const maxRecordBytes = 64 * 1024 * 1024;

export function encodeRecord(record: SnapshotRecord): Buffer {
  switch (record.kind) {
    case "secrets":
      return framed(kinds.secrets, Buffer.from(record.json, "utf8"));
    case "lease": {
      const body = Buffer.alloc(leaseBytes);
      body.writeBigInt64BE(record.id, 0);
      body.writeBigInt64BE(BigInt(record.grantedSeconds), 8);
      body.writeBigInt64BE(BigInt(record.secondsLeft), 16);
      return framed(kinds.lease, body);
    }
    case "key": {
      const { key, value, createRevision, modRevision, version, lease } = record.kv;
      const fixed = Buffer.alloc(keyFixedBytes);
      fixed.writeBigInt64BE(BigInt(createRevision), 0);
      fixed.writeBigInt64BE(BigInt(modRevision), 8);
      fixed.writeBigInt64BE(BigInt(version), 16);
      fixed.writeBigInt64BE(lease, 24);
      fixed.writeUInt32BE(key.length, 32);
      return framed(kinds.key, fixed, key, value);
    }
    case "end": {
      const { keys, leases, hash } = record;
      return framed(kinds.end, Buffer.from(JSON.stringify({ keys, leases, hash }), "utf8"));
    }
  }
}

/** All records, the end included; what follows it, or its absence, is damage. */
export async function* decodeRecords(read: ReadBytes): AsyncGenerator<SnapshotRecord> {
  for (;;) {
    const head = await exactly(read, headBytes);
    const length = head.readUInt32BE(1);
    if (length > maxRecordBytes) throw damaged();
    const record = decode(head.readUInt8(0), await exactly(read, length));
    yield record;
    if (record.kind !== "end") continue;
    if ((await read(1)).length > 0) throw damaged();
    return;
  }
}

function decode(kind: number, body: Buffer): SnapshotRecord {
  try {
    switch (kind) {
      case kinds.secrets:
        return { kind: "secrets", json: body.toString("utf8") };
      case kinds.lease:
        return {
          kind: "lease",
          id: body.readBigInt64BE(0),
          grantedSeconds: Number(body.readBigInt64BE(8)),
          secondsLeft: Number(body.readBigInt64BE(16)),
        };
      case kinds.key:
        return { kind: "key", kv: decodeKey(body) };
      case kinds.end:
        return { kind: "end", ...(JSON.parse(body.toString("utf8")) as SnapshotTotals) };
    }
  } catch (cause) {
    throw damaged(cause);
  }
  throw damaged();
}

function decodeKey(body: Buffer): KeyValue {
  const valueAt = keyFixedBytes + body.readUInt32BE(32);
  if (valueAt > body.length) throw damaged();
  return {
    createRevision: Number(body.readBigInt64BE(0)),
    modRevision: Number(body.readBigInt64BE(8)),
    version: Number(body.readBigInt64BE(16)),
    lease: body.readBigInt64BE(24),
    key: body.subarray(keyFixedBytes, valueAt),
    value: body.subarray(valueAt),
  };
}

function framed(kind: number, ...parts: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt8(kind, 0);
  head.writeUInt32BE(
    parts.reduce((sum, part) => sum + part.length, 0),
    1,
  );
  return Buffer.concat([head, ...parts]);
}
