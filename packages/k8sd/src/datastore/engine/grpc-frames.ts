import { grpcStatus } from "../wire.ts";
import { EtcdError } from "./etcd-error.ts";
import { prefixBytes } from "./message-writer.ts";

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
