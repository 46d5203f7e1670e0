import {
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseLeasesRequest,
  LeaseLeasesResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
} from "../gen/etcd.ts";
import type { Backend } from "./backend.ts";
import { generated } from "./encode.ts";
import type { Method } from "./grpc-call.ts";
import type { Lessor } from "./lessor.ts";
import type { Room } from "./room.ts";
import { type Headers, unary } from "./unary.ts";

const encodeKeepAlive = generated(LeaseKeepAliveResponse);

export interface LeaseDeps {
  readonly lessor: Lessor;
  readonly read: Backend["read"];
  readonly room: Room;
  readonly headers: Headers;
}

export function leaseMethods({ lessor, read, room, headers }: LeaseDeps): [string, Method][] {
  const keysOf = async (id: bigint) => read((view) => view.keysOfLease(id));
  return [
    [
      "/etcdserverpb.Lease/LeaseGrant",
      unary(LeaseGrantRequest, LeaseGrantResponse, async (request) => {
        room.check();
        const lease = await lessor.grant(request.id, request.ttl);
        return { header: headers(), id: lease.id, ttl: lease.ttl, error: "" };
      }),
    ],
    [
      "/etcdserverpb.Lease/LeaseRevoke",
      unary(LeaseRevokeRequest, LeaseRevokeResponse, async (request, _size, permission) => {
        permission?.keys(await keysOf(request.id));
        await lessor.revoke(request.id);
        return { header: headers() };
      }),
    ],
    [
      "/etcdserverpb.Lease/LeaseTimeToLive",
      unary(LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, async (request, _size, permission) => {
        const lease = await lessor.info(request.id);
        if (!lease) return { header: headers(), id: request.id, ttl: -1, grantedTtl: 0, keys: [] };
        const keys = request.keys ? await keysOf(request.id) : [];
        permission?.keys(keys);
        const ttl = Math.floor(lease.remainingMs / 1000);
        return { header: headers(), id: request.id, ttl, grantedTtl: lease.ttl, keys };
      }),
    ],
    [
      "/etcdserverpb.Lease/LeaseLeases",
      unary(LeaseLeasesRequest, LeaseLeasesResponse, async () => {
        const leases = (await lessor.all()).map(({ id }) => ({ id }));
        return { header: headers(), leases };
      }),
    ],
    [
      "/etcdserverpb.Lease/LeaseKeepAlive",
      {
        kind: "stream",
        serve(call) {
          // Answers keep the order of the requests, also when one of them has to be written down first.
          let last: Promise<void> = Promise.resolve();
          const answer = async (id: bigint) => {
            const ttl = await lessor.keepAlive(id);
            call.send((writer) => encodeKeepAlive({ header: headers(), id, ttl }, writer));
          };
          return {
            message(bytes) {
              const { id } = LeaseKeepAliveRequest.decode(bytes);
              last = last.then(() => answer(id)).catch((error: unknown) => call.end(error));
            },
            ended() {
              last = last.then(() => call.end());
            },
            drained() {},
            closed() {},
          };
        },
      },
    ],
  ];
}
