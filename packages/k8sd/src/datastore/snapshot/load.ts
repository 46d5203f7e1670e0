import { AppError } from "../../lib/app-error.ts";
import type { Revision } from "../datastore.ts";
import { everything, takeBatch, type Write, writeBatch } from "../migrate/batches.ts";
import { lifeInCopy } from "../migrate/leases.ts";
import type { StoreAccess } from "../migrate/store-access.ts";
import { patient } from "../patient.ts";
import { contentHash } from "./content.ts";
import { readSnapshotFile, type Unlock } from "./file.ts";
import type { SnapshotHeader } from "./header.ts";
import type { SnapshotLease, SnapshotRecord, SnapshotTotals } from "./records.ts";

export interface LoadOptions {
  readonly path: string;
  readonly unlock: Unlock;
  /** Empty. */
  readonly target: StoreAccess;
  readonly signal: AbortSignal;
  /** True: nobody will use the target, so no lease may end while it is looked at. */
  readonly trial: boolean;
  readonly progress?: (done: number, of: number) => void;
}

export interface LoadReport extends SnapshotTotals {
  readonly header: SnapshotHeader;
  /** Of the target, when all was in it. */
  readonly revision: Revision;
}

/** Until all is loaded and compared, nobody renews a lease. */
const leastSeconds = 120;
const trialSeconds = 86_400;

interface Part {
  readonly leased: boolean;
  readonly count: number;
}

/** Writes a snapshot's content to an empty datastore, and compares what is there then with what was recorded. */
export async function loadSnapshot(options: LoadOptions): Promise<LoadReport> {
  const { path, unlock, target, signal } = options;
  const { count } = await target.data.range(everything, { limit: 1, keysOnly: true, ...patient(signal) });
  if (count > 0) {
    throw new AppError("conflict", `cannot load the snapshot: the datastore holds ${count} keys already`, {
      remedy: "Name an empty datastore; nothing is overwritten.",
    });
  }
  const pass = (leased: boolean, before: number) =>
    readSnapshotFile(
      path,
      unlock,
      (records, header) => load(records, header, { leased, count: before }, options),
      signal,
    );
  const first = await pass(false, 0);
  // Keys with leases come last, so that these live as long as they can.
  const { header, totals } = await pass(true, first.loaded);
  const hash = await contentHash(target, signal);
  if (hash !== totals.hash) {
    throw new AppError("internal", "cannot load the snapshot: what the datastore holds now differs from it", {
      details: { keys: totals.keys, hash, recorded: totals.hash },
    });
  }
  const { revision } = await target.data.range(everything, { countOnly: true, ...patient(signal) });
  return { ...totals, header, revision };
}

async function load(
  records: AsyncIterable<SnapshotRecord>,
  header: SnapshotHeader,
  part: Part,
  { target, signal, trial, progress }: LoadOptions,
): Promise<{ readonly header: SnapshotHeader; readonly totals: SnapshotTotals; readonly loaded: number }> {
  const leases = new Map<bigint, SnapshotLease>();
  const granted = new Set<bigint>();
  let loaded = 0;
  let waiting: Write[] = [];
  let totals: SnapshotTotals | undefined;

  const grant = async (id: bigint): Promise<void> => {
    if (id === 0n || granted.has(id)) return;
    granted.add(id);
    // One that ended after the revision still has its keys there.
    const { secondsLeft, grantedSeconds } = leases.get(id) ?? { secondsLeft: 0, grantedSeconds: 0 };
    const life = trial ? trialSeconds : Math.max(lifeInCopy({ secondsLeft, grantedSeconds }), leastSeconds);
    await target.grant(id, life, patient(signal));
  };
  const flush = async (all: boolean): Promise<void> => {
    for (;;) {
      const batch = takeBatch(waiting);
      if (batch.length === 0 || (!all && batch.length === waiting.length)) return;
      await writeBatch(target.data, batch, signal);
      waiting = waiting.slice(batch.length);
      loaded += batch.length;
      progress?.(part.count + loaded, header.keys);
    }
  };

  for await (const record of records) {
    switch (record.kind) {
      case "secrets":
        break;
      case "lease":
        leases.set(record.id, record);
        if (part.leased) await grant(record.id);
        break;
      case "key": {
        const { key, value, lease } = record.kv;
        if ((lease !== 0n) !== part.leased) break;
        if (part.leased) await grant(lease);
        waiting.push({ key, value, ...(lease === 0n ? {} : { lease }) });
        await flush(false);
        break;
      }
      case "end":
        totals = record;
    }
  }
  await flush(true);
  if (totals === undefined) throw new AppError("internal", "cannot load the snapshot: it has no end");
  return { header, totals: { keys: totals.keys, leases: totals.leases, hash: totals.hash }, loaded };
}
