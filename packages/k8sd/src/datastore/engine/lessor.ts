import type { Database } from "better-sqlite3";
import type { Logger } from "pino";
import type { CommitQueue } from "./commit-queue.ts";
import { EtcdError, etcdErrors } from "./etcd-error.ts";
import { newLeaseId } from "./ids.ts";
import type { BatchView } from "./store.ts";

/** Shorter lives are raised to this, as etcd does with its default election timeout. */
export const minTtlSeconds = 2;
/** etcd's limit; longer ones are refused. */
export const maxTtlSeconds = 9_000_000_000;
/** How often ends are looked at: etcd's own pace, so a lease ends at most this much late. */
const expiryTickMs = 500;
/** How much life a power-off may give back to a lease: its rest is written down this often. */
const checkpointMs = 60_000;

export interface LeaseInfo {
  readonly id: bigint;
  readonly ttl: number;
  readonly remainingMs: number;
}

export interface Lessor {
  grant(id: bigint, ttl: number): Promise<LeaseInfo>;
  revoke(id: bigint): Promise<void>;
  /** The renewed life in seconds, or 0 when there is no such lease. */
  keepAlive(id: bigint): Promise<number>;
  info(id: bigint): LeaseInfo | undefined | Promise<LeaseInfo | undefined>;
  /** Soonest end first. */
  all(): readonly LeaseInfo[] | Promise<readonly LeaseInfo[]>;
}

/** Lives are counted in memory; ends are what the file says at the start. */
export interface SqliteLessor extends Lessor {
  /** For the write path: sees grants of the running batch. */
  exists(id: bigint): boolean;
  /** Writes down the remaining lives, for an orderly stop. */
  checkpoint(): Promise<void>;
  stop(): void;
}

export interface LessorDeps {
  readonly db: Database;
  readonly running: Pick<BatchView, "keysOfLease" | "remove" | "revision">;
  readonly queue: CommitQueue;
  readonly log: Logger;
  /** Monotonic milliseconds: a clock that is set must not end leases. */
  readonly now: () => number;
}

interface Lease {
  readonly ttl: number;
  endsAt: number;
  /** True when the file holds less than the full life: a renewal has to be written down. */
  shortened: boolean;
}

export function createLessor({ db, running, queue, log, now }: LessorDeps): SqliteLessor {
  const known = db.prepare("SELECT 1 FROM lease WHERE id = ?");
  const insert = db.prepare("INSERT INTO lease (id, ttl_s, remaining_ms) VALUES (?, ?, ?)");
  const erase = db.prepare("DELETE FROM lease WHERE id = ?");
  const save = db.prepare("UPDATE lease SET remaining_ms = ? WHERE id = ?");

  const leases = new Map<bigint, Lease>();
  const rows = db.prepare("SELECT id, ttl_s, remaining_ms FROM lease").safeIntegers().raw().all() as [
    bigint,
    bigint,
    bigint,
  ][];
  for (const [id, ttl, remaining] of rows) {
    leases.set(id, {
      ttl: Number(ttl),
      endsAt: now() + Number(remaining),
      shortened: remaining < ttl * 1000n,
    });
  }

  const describe = (id: bigint, lease: Lease): LeaseInfo => ({
    id,
    ttl: lease.ttl,
    remainingMs: Math.max(0, lease.endsAt - now()),
  });
  const living = (id: bigint): Lease | undefined => {
    const lease = leases.get(id);
    return lease && lease.endsAt > now() ? lease : undefined;
  };

  /** In a batch: the keys go in one ordinary revision. */
  function removeLease(id: bigint): void {
    if (known.get(id) === undefined) throw etcdErrors.leaseNotFound();
    const at = running.revision() + 1;
    for (const key of running.keysOfLease(id)) running.remove(at, { kind: "one", key });
    erase.run(id);
  }

  async function revoke(id: bigint): Promise<void> {
    await queue.submit(() => removeLease(id));
    leases.delete(id);
  }

  const ending = new Set<bigint>();
  async function expire(id: bigint): Promise<void> {
    try {
      await queue.submit(() => {
        if (!living(id)) removeLease(id);
      });
      if (!living(id)) leases.delete(id);
    } catch (error) {
      // Refusals are another revoke that came first, or the stop; the next tick tries again where that helps.
      if (!(error instanceof EtcdError)) log.warn({ err: error, lease: id.toString() }, "Cannot end lease");
      if (known.get(id) === undefined) leases.delete(id);
    } finally {
      ending.delete(id);
    }
  }
  const expiry = setInterval(() => {
    const time = now();
    for (const [id, lease] of leases) {
      if (lease.endsAt > time || ending.has(id)) continue;
      ending.add(id);
      void expire(id);
    }
  }, expiryTickMs);

  const checkpoint = async (): Promise<void> => {
    // Lives shorter than the pace would be written for nothing: they start anew after a crash.
    const long = [...leases].filter(([, lease]) => lease.ttl * 1000 > checkpointMs && lease.endsAt > now());
    if (long.length === 0) return;
    await queue.submit(() => {
      for (const [id, lease] of long) save.run(Math.max(0, Math.round(lease.endsAt - now())), id);
    });
    for (const [, lease] of long) lease.shortened = true;
  };
  const checkpoints = setInterval(() => {
    checkpoint().catch((error: unknown) => log.warn({ err: error }, "Cannot write down lease lives"));
  }, checkpointMs);
  expiry.unref();
  checkpoints.unref();

  return {
    exists: (id) => known.get(id) !== undefined,
    async grant(id, seconds) {
      if (seconds > maxTtlSeconds) throw etcdErrors.leaseTtlTooLarge();
      const ttl = Math.max(seconds, minTtlSeconds);
      const chosen = id === 0n ? newLeaseId() : id;
      await queue.submit(() => {
        if (known.get(chosen) !== undefined) throw etcdErrors.leaseExists();
        insert.run(chosen, ttl, ttl * 1000);
      });
      const lease = { ttl, endsAt: now() + ttl * 1000, shortened: false };
      leases.set(chosen, lease);
      return describe(chosen, lease);
    },
    revoke,
    async keepAlive(id) {
      const lease = living(id);
      if (!lease) return 0;
      lease.endsAt = now() + lease.ttl * 1000;
      if (lease.shortened) {
        await queue.submit(() => save.run(lease.ttl * 1000, id));
        lease.shortened = false;
      }
      return lease.ttl;
    },
    info(id) {
      const lease = leases.get(id);
      return lease && describe(id, lease);
    },
    all: () =>
      [...leases]
        .filter(([id]) => living(id))
        .sort(([, a], [, b]) => a.endsAt - b.endsAt)
        .map(([id, lease]) => describe(id, lease)),
    checkpoint,
    stop() {
      clearInterval(expiry);
      clearInterval(checkpoints);
    },
  };
}
