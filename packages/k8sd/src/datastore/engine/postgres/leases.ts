import { EtcdError, etcdErrors } from "../etcd-error.ts";
import { newLeaseId } from "../ids.ts";
import type { Lessor } from "../lessor.ts";
import { maxTtlSeconds, minTtlSeconds } from "../lessor.ts";
import { fetchLeases, type LeaseState } from "./queries.ts";
import type { Readers } from "./readers.ts";
import type { Writer } from "./writer.ts";

export interface LeasesDeps {
  readonly writer: Pick<Writer, "running" | "submit">;
  readonly readers: Pick<Readers, "query">;
}

/** Leases of the database: whichever server granted one, each can renew it. */
export interface Leases extends Lessor {
  /** Ends a lease if its life is over. */
  expire(id: bigint): Promise<void>;
}

export function createLeases({ writer: { running, submit }, readers }: LeasesDeps): Leases {
  const describe = (id: bigint, { ttl, remainingMs }: LeaseState) => ({
    id,
    ttl,
    remainingMs: Math.max(0, remainingMs),
  });

  /** In a batch: the keys go in one ordinary revision. */
  function removeLease(id: bigint): void {
    const at = running.revision() + 1;
    for (const key of running.keysOfLease(id)) running.remove(at, { kind: "one", key });
    running.endLease(id);
  }

  return {
    async grant(id, seconds) {
      if (seconds > maxTtlSeconds) throw etcdErrors.leaseTtlTooLarge();
      const ttl = Math.max(seconds, minTtlSeconds);
      const chosen = id === 0n ? newLeaseId() : id;
      await submit(() => {
        if (running.leaseExists(chosen)) throw etcdErrors.leaseExists();
        running.keepLease(chosen, ttl);
      });
      return { id: chosen, ttl, remainingMs: ttl * 1000 };
    },
    revoke: (id) =>
      submit(() => {
        if (!running.leaseExists(id)) throw etcdErrors.leaseNotFound();
        removeLease(id);
      }),
    keepAlive: (id) =>
      submit(() => {
        const lease = running.lease(id);
        if (!lease || lease.remainingMs <= 0) return 0;
        running.keepLease(id, lease.ttl);
        return lease.ttl;
      }),
    expire: (id) =>
      submit(() => {
        const lease = running.lease(id);
        if (lease && lease.remainingMs <= 0) removeLease(id);
      }).catch((error: unknown) => {
        // The next look tries again.
        if (!(error instanceof EtcdError)) throw error;
      }),
    async info(id) {
      const lease = (await readers.query((connection) => fetchLeases(connection, [id]))).get(id);
      return lease && describe(id, lease);
    },
    async all() {
      const leases = await readers.query((connection) => fetchLeases(connection, "all"));
      return [...leases].filter(([, { remainingMs }]) => remainingMs > 0).map(([id, lease]) => describe(id, lease));
    },
  };
}
