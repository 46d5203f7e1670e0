import { expect, test } from "vitest";
import {
  encodeDelete,
  encodeEvents,
  encodePut,
  encodeRange,
  encodeTxn,
  generated,
} from "../../../src/datastore/engine/encode.ts";
import { createMessageWriter, type MessageEncoder } from "../../../src/datastore/engine/message-writer.ts";
import type { KeyValue, ResponseHeader } from "../../../src/datastore/gen/etcd.ts";
import {
  DeleteRangeResponse,
  PutResponse,
  RangeResponse,
  TxnResponse,
  WatchResponse,
} from "../../../src/datastore/gen/etcd.ts";

const header: ResponseHeader = { clusterId: 2n ** 63n + 5n, memberId: 7n, revision: 2 ** 52 + 1, raftTerm: 2 };
const none = new Uint8Array(0);
const keyValue = (value: Uint8Array, lease = 0n, modRevision = 300): KeyValue => ({
  key: Buffer.from("/registry/pods/a"),
  value,
  createRevision: 2 ** 31,
  modRevision,
  version: 2 ** 35 + 3,
  lease,
});
const kvs = [
  keyValue(Buffer.alloc(300, 1), 2n ** 62n),
  keyValue(none, 128n, 127),
  keyValue(Buffer.alloc(70_000, 2), 0n, 2 ** 31 - 1),
];

const range: RangeResponse = { header, kvs, more: true, count: 16_384 };
const put: PutResponse = { header, prevKv: kvs[0] };
const deletion: DeleteRangeResponse = { header, deleted: 3, prevKvs: kvs };
const txn: TxnResponse = {
  header,
  succeeded: true,
  responses: [
    { response: { $case: "responsePut", value: { header, prevKv: undefined } } },
    { response: { $case: "responseRange", value: { ...range, kvs: [] } } },
    { response: { $case: "responseTxn", value: { header, succeeded: false, responses: [] } } },
    { response: { $case: "responseDeleteRange", value: deletion } },
  ],
};
const events: WatchResponse = {
  header,
  watchId: 9,
  created: false,
  canceled: false,
  compactRevision: 0,
  cancelReason: "",
  fragment: true,
  events: [
    { type: 0, kv: kvs[0], prevKv: kvs[1] },
    { type: 1, kv: keyValue(none), prevKv: undefined },
  ],
};

const message = (encode: MessageEncoder): Buffer => {
  const writer = createMessageWriter();
  encode(writer);
  return writer.finish().subarray(14);
};

test.each<[string, MessageEncoder, Uint8Array]>([
  ["range", (writer) => encodeRange(range, writer), RangeResponse.encode(range).finish()],
  ["put", (writer) => encodePut(put, writer), PutResponse.encode(put).finish()],
  ["delete", (writer) => encodeDelete(deletion, writer), DeleteRangeResponse.encode(deletion).finish()],
  ["txn", (writer) => encodeTxn(txn, writer), TxnResponse.encode(txn).finish()],
  ["events", (writer) => encodeEvents(events, writer), WatchResponse.encode(events).finish()],
  ["generated", (writer) => generated(WatchResponse)(events, writer), WatchResponse.encode(events).finish()],
])("%s is encoded as the generated code does", (_, encode, expected) => {
  expect(message(encode).equals(expected)).toBe(true);
});

test("a message carries its length, and leaves nothing to the next one", () => {
  const writer = createMessageWriter();
  encodeRange(range, writer);
  const first = writer.finish();
  expect(first.readUInt32BE(10)).toBe(first.length - 14);
  encodePut({ header, prevKv: undefined }, writer);
  expect(PutResponse.decode(writer.finish().subarray(14))).toEqual({ header, prevKv: undefined });
});
