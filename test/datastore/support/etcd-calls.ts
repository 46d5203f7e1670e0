import * as wire from "@k8sd/k8sd/datastore/gen/etcd.ts";
import type { GrpcConnection } from "./grpc-client.ts";

const noBytes = new Uint8Array(0);

/** The protocol's defaults, so that a request names only what it sets. */
export const defaults = {
  range: wire.RangeRequest.decode(noBytes),
  put: wire.PutRequest.decode(noBytes),
  remove: wire.DeleteRangeRequest.decode(noBytes),
  watch: wire.WatchCreateRequest.decode(noBytes),
} as const;

/** A string stands for its latin1 bytes: every byte can be written in a program that is kept as text. */
export const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
export const text = (value: Uint8Array | undefined): string =>
  value ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("latin1") : "";

/** Each call of etcd's API by the name that tests use. */
export function etcdCalls(connection: GrpcConnection) {
  const call =
    <Q, A>(path: string, request: wire.MessageFns<Q>, answer: wire.MessageFns<A>) =>
    (message: Q, timeoutMs?: number): Promise<A> =>
      connection.unary(`/etcdserverpb.${path}`, request, answer, message, timeoutMs);
  return {
    range: call("KV/Range", wire.RangeRequest, wire.RangeResponse),
    put: call("KV/Put", wire.PutRequest, wire.PutResponse),
    remove: call("KV/DeleteRange", wire.DeleteRangeRequest, wire.DeleteRangeResponse),
    txn: call("KV/Txn", wire.TxnRequest, wire.TxnResponse),
    compact: call("KV/Compact", wire.CompactionRequest, wire.CompactionResponse),
    grant: call("Lease/LeaseGrant", wire.LeaseGrantRequest, wire.LeaseGrantResponse),
    revoke: call("Lease/LeaseRevoke", wire.LeaseRevokeRequest, wire.LeaseRevokeResponse),
    life: call("Lease/LeaseTimeToLive", wire.LeaseTimeToLiveRequest, wire.LeaseTimeToLiveResponse),
    leases: call("Lease/LeaseLeases", wire.LeaseLeasesRequest, wire.LeaseLeasesResponse),
    status: call("Maintenance/Status", wire.StatusRequest, wire.StatusResponse),
    alarm: call("Maintenance/Alarm", wire.AlarmRequest, wire.AlarmResponse),
    defragment: call("Maintenance/Defragment", wire.DefragmentRequest, wire.DefragmentResponse),
    /** One renewal on a stream of its own. */
    keepAlive: (id: bigint) =>
      new Promise<wire.LeaseKeepAliveResponse>((resolve, reject) => {
        const { LeaseKeepAliveRequest, LeaseKeepAliveResponse } = wire;
        const stream = connection.stream(
          "/etcdserverpb.Lease/LeaseKeepAlive",
          LeaseKeepAliveRequest,
          LeaseKeepAliveResponse,
          {
            message(answer) {
              resolve(answer);
              stream.close();
            },
            closed: (failure) => reject(failure ?? new Error("no answer")),
          },
        );
        stream.send({ id });
      }),
  };
}

export type EtcdCalls = ReturnType<typeof etcdCalls>;
