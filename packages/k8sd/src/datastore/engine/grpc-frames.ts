import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { grpcStatus } from "../wire.ts";
import { EtcdError } from "./etcd-error.ts";
import { headroom } from "./http2/outbox.ts";

/** Writes one message; called once, when it is sent. */
export type MessageEncoder = (writer: BinaryWriter) => void;

const prefixBytes = 5;
const emptyPrefix = new Uint8Array(headroom + prefixBytes);

/** One gRPC message behind the room for its frame: a flag byte (not compressed), four bytes of length, the message. */
export function messageFrame(encode: MessageEncoder): Buffer {
  const writer = new BinaryWriter().raw(emptyPrefix);
  encode(writer);
  const bytes = writer.finish();
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  frame.writeUInt32BE(frame.length - emptyPrefix.length, headroom + 1);
  return frame;
}

/** Cuts a byte stream into messages. A message that lies in one chunk is handed on without a copy. */
export function createFrameReader(maxBytes: number, onMessage: (message: Uint8Array) => void): (chunk: Buffer) => void {
  let rest: Buffer[] = [];
  let have = 0;
  let need = prefixBytes;

  return (chunk) => {
    rest.push(chunk);
    have += chunk.length;
    while (have >= need) {
      const bytes = rest.length === 1 && rest[0] ? rest[0] : Buffer.concat(rest, have);
      rest = [bytes];
      const length = bytes.readUInt32BE(1);
      if (bytes[0] !== 0) throw new EtcdError(grpcStatus.unimplemented, "grpc: compressed messages are not supported");
      if (length > maxBytes) {
        const text = `grpc: received message larger than max (${length} vs. ${maxBytes})`;
        throw new EtcdError(grpcStatus.resourceExhausted, text);
      }
      need = prefixBytes + length;
      if (have < need) return;
      const message = bytes.subarray(prefixBytes, need);
      have -= need;
      rest = have > 0 ? [bytes.subarray(need)] : [];
      need = prefixBytes;
      onMessage(message);
    }
  };
}
