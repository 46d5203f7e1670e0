import { type EtcdClientOptions, openChannel } from "../channel.ts";
import { createEtcdClient } from "../client.ts";
import type { CallOptions, Datastore } from "../datastore.ts";
import {
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseLeasesRequest,
  LeaseLeasesResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
} from "../gen/etcd.ts";

export interface LeaseLife {
  /** -1: it has ended. */
  readonly secondsLeft: number;
  readonly grantedSeconds: number;
}

/** A datastore as a copy sees it: with the leases of everybody, which nobody else asks for. */
export interface StoreAccess extends AsyncDisposable {
  readonly data: Datastore;
  leases(call: CallOptions): Promise<readonly bigint[]>;
  lifeOf(lease: bigint, call: CallOptions): Promise<LeaseLife>;
  grant(lease: bigint, ttlSeconds: number, call: CallOptions): Promise<void>;
  /** Only where no key has it; true: it is gone. */
  revokeUnused(lease: bigint, call: CallOptions): Promise<boolean>;
}

export function openStore(options: EtcdClientOptions): StoreAccess {
  const channel = openChannel(options);
  const data = createEtcdClient(options);
  return {
    data,
    async leases(call) {
      const path = "/etcdserverpb.Lease/LeaseLeases";
      const answer = await channel.unary("list the leases of", path, LeaseLeasesRequest, LeaseLeasesResponse, {}, call);
      return answer.leases.map(({ id }) => id);
    },
    async lifeOf(id, call) {
      const path = "/etcdserverpb.Lease/LeaseTimeToLive";
      const request = { id, keys: false };
      const [ask, answer] = [LeaseTimeToLiveRequest, LeaseTimeToLiveResponse];
      const { ttl, grantedTtl } = await channel.unary("read a lease of", path, ask, answer, request, call);
      return { secondsLeft: ttl, grantedSeconds: grantedTtl };
    },
    async grant(id, ttl, call) {
      const path = "/etcdserverpb.Lease/LeaseGrant";
      await channel.unary("take a lease in", path, LeaseGrantRequest, LeaseGrantResponse, { id, ttl }, call);
    },
    async revokeUnused(id, call) {
      const [ask, answer] = [LeaseTimeToLiveRequest, LeaseTimeToLiveResponse];
      const request = { id, keys: true };
      const path = "/etcdserverpb.Lease/LeaseTimeToLive";
      const { keys } = await channel.unary("read a lease of", path, ask, answer, request, call);
      if (keys.length > 0) return false;
      const revoke = "/etcdserverpb.Lease/LeaseRevoke";
      await channel.unary("end a lease in", revoke, LeaseRevokeRequest, LeaseRevokeResponse, { id }, call);
      return true;
    },
    async [Symbol.asyncDispose]() {
      channel.close();
      await data[Symbol.asyncDispose]();
    },
  };
}
