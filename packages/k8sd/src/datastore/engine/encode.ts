import type {
  DeleteRangeResponse,
  Event,
  KeyValue,
  MessageFns,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  ResponseOp,
  TxnResponse,
  WatchResponse,
} from "../gen/etcd.ts";
import type { MessageWriter } from "./message-writer.ts";
import type { PackedRows } from "./packed-list.ts";

/** The first rows of these pages. */
export interface PackedKeyValues {
  readonly pages: readonly PackedRows[];
  readonly length: number;
}

/**
 * The answers of the hot path, field by field, last to first; all others go through the generated code, which takes a dozen
 * objects and two copies for what is one copy here. Field numbers are those of proto/etcd.proto; a test compares the two.
 */
export type Encode<T> = (message: T, writer: MessageWriter) => void;

/** Any message, by the generated code. */
export const generated =
  <T>(fns: MessageFns<T>): Encode<T> =>
  (message, writer) =>
    writer.raw(fns.encode(message).finish());

export const encodeRange: Encode<RangeResponse & { packed?: PackedKeyValues }> = (message, writer) => {
  writer.number(4, message.count);
  writer.bool(3, message.more);
  if (message.packed) packedKeyValues(2, message.packed, writer);
  keyValues(2, message.kvs, writer);
  header(message.header, writer);
};

export const encodePut: Encode<PutResponse> = (message, writer) => {
  keyValue(2, message.prevKv, writer);
  header(message.header, writer);
};

export const encodeDelete: Encode<DeleteRangeResponse> = (message, writer) => {
  keyValues(3, message.prevKvs, writer);
  writer.number(2, message.deleted);
  header(message.header, writer);
};

export const encodeTxn: Encode<TxnResponse> = (message, writer) => {
  for (let index = message.responses.length - 1; index >= 0; index--) {
    const end = writer.mark();
    operation(message.responses[index], writer);
    writer.nest(3, end);
  }
  writer.bool(2, message.succeeded);
  header(message.header, writer);
};

/** Events; what else a watch says is rare. */
export const encodeEvents: Encode<Pick<WatchResponse, "header" | "watchId" | "fragment" | "events">> = (
  message,
  writer,
) => {
  for (let index = message.events.length - 1; index >= 0; index--) {
    const end = writer.mark();
    event(message.events[index], writer);
    writer.nest(11, end);
  }
  writer.bool(7, message.fragment);
  // Clients may choose a negative id.
  if (message.watchId < 0) writer.bigint(2, BigInt(message.watchId));
  else writer.number(2, message.watchId);
  header(message.header, writer);
};

function event(message: Event | undefined, writer: MessageWriter): void {
  keyValue(3, message?.prevKv, writer);
  keyValue(2, message?.kv, writer);
  writer.number(1, message?.type ?? 0);
}

function operation(message: ResponseOp | undefined, writer: MessageWriter): void {
  const end = writer.mark();
  const response = message?.response;
  switch (response?.$case) {
    case "responseRange":
      encodeRange(response.value, writer);
      writer.nest(1, end);
      return;
    case "responsePut":
      encodePut(response.value, writer);
      writer.nest(2, end);
      return;
    case "responseDeleteRange":
      encodeDelete(response.value, writer);
      writer.nest(3, end);
      return;
    case "responseTxn":
      encodeTxn(response.value, writer);
      writer.nest(4, end);
      return;
    case undefined:
      return;
  }
}

function keyValues(field: number, kvs: readonly KeyValue[], writer: MessageWriter): void {
  for (let index = kvs.length - 1; index >= 0; index--) keyValue(field, kvs[index], writer);
}

function packedKeyValues(field: number, { pages, length }: PackedKeyValues, writer: MessageWriter): void {
  let surplus = pages.reduce((sum, page) => sum + page.ids.length, 0) - length;
  for (let at = pages.length - 1; at >= 0; at--) {
    const page = pages[at];
    if (page) packedPage(field, page, surplus, writer);
    surplus = Math.max(0, surplus - (page?.ids.length ?? 0));
  }
}

/** As `keyValue`, for a page of rows without its last ones. */
function packedPage(field: number, page: PackedRows, without: number, writer: MessageWriter): void {
  let keyEnd = page.keys.length;
  let valueEnd = page.values.length;
  const last = page.ids.length - without;
  for (let index = page.ids.length - 1; index >= 0; index--) {
    const key = keyEnd - (page.keyLengths[index] ?? 0);
    const value = valueEnd - (page.valueLengths[index] ?? 0);
    if (index < last) {
      const end = writer.mark();
      const lease = page.leases[index] ?? 0;
      if (lease !== 0) writer.bigint(6, BigInt(lease));
      writer.part(5, page.values, value, valueEnd);
      writer.number(4, page.versions[index] ?? 0);
      writer.number(3, page.revisions[index] ?? 0);
      writer.number(2, page.created[index] ?? 0);
      writer.part(1, page.keys, key, keyEnd);
      writer.nest(field, end);
    }
    keyEnd = key;
    valueEnd = value;
  }
}

function keyValue(field: number, kv: KeyValue | undefined, writer: MessageWriter): void {
  if (!kv) return;
  const end = writer.mark();
  writer.bigint(6, kv.lease);
  writer.bytes(5, kv.value);
  writer.number(4, kv.version);
  writer.number(3, kv.modRevision);
  writer.number(2, kv.createRevision);
  writer.bytes(1, kv.key);
  writer.nest(field, end);
}

function header(message: ResponseHeader | undefined, writer: MessageWriter): void {
  if (!message) return;
  const end = writer.mark();
  writer.number(4, message.raftTerm);
  writer.number(3, message.revision);
  writer.bigint(2, message.memberId);
  writer.bigint(1, message.clusterId);
  writer.nest(1, end);
}
