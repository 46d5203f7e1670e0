import type { S3Options } from "../../datastore/snapshot/s3/request.ts";
import { AppError } from "../../lib/app-error.ts";
import type { Records } from "../records.ts";
import type { Seal } from "../seal.ts";

/** When a cluster makes snapshots by itself. */
export interface SnapshotSchedule {
  /** Milliseconds from the beginning of one to the next. */
  readonly everyMs: number;
  /** How many are kept; 0: all. */
  readonly keep: number;
  readonly directory: string;
  /** True: to the store, and not to a directory. */
  readonly store?: boolean;
  /** Id of the node on which it was ordered. */
  readonly nodeId: string;
}

/** What came of it so far. */
export interface SnapshotTaken {
  /** Of the last one. */
  readonly at?: number;
  readonly path?: string;
  /** Since then one failed. */
  readonly failedAt?: number;
  readonly error?: string;
}

const lockKey = "k8sd/snapshots/lock";
const scheduleKey = "k8sd/snapshots/schedule";
const storeKey = "k8sd/snapshots/store";
const takenKey = "k8sd/snapshots/taken";

/** Keys of all that is sealed in the datastore, each for its own place. */
export const sealedSettings = [lockKey, storeKey] as const;

/** What the cluster knows of its snapshots, in the datastore. */
export interface SnapshotSettings {
  /** Closes snapshots; undefined before the operator made a key. */
  lock(signal: AbortSignal): Promise<string | undefined>;
  setLock(lock: string, signal: AbortSignal): Promise<void>;
  schedule(signal: AbortSignal): Promise<SnapshotSchedule | undefined>;
  setSchedule(schedule: SnapshotSchedule | undefined, signal: AbortSignal): Promise<void>;
  /** An S3-compatible one, if there is one. */
  store(signal: AbortSignal): Promise<S3Options | undefined>;
  setStore(store: S3Options | undefined, signal: AbortSignal): Promise<void>;
  taken(signal: AbortSignal): Promise<SnapshotTaken | undefined>;
  setTaken(taken: SnapshotTaken, signal: AbortSignal): Promise<void>;
}

export function createSnapshotSettings(records: Records, seal: Seal): SnapshotSettings {
  return {
    lock: async (signal) => {
      const sealed = await records.get<string>(lockKey, signal);
      return sealed && seal.open(sealed, lockKey);
    },
    // Who has it could make a snapshot that the operator takes for the cluster's.
    setLock: (lock, signal) => records.put(lockKey, seal.seal(lock, lockKey), signal),
    schedule: (signal) => records.get<SnapshotSchedule>(scheduleKey, signal),
    store: async (signal) => {
      const sealed = await records.get<string>(storeKey, signal);
      return sealed === undefined ? undefined : (JSON.parse(seal.open(sealed, storeKey)) as S3Options);
    },
    setStore: (store, signal) =>
      store === undefined
        ? records.delete(storeKey, signal)
        : records.put(storeKey, seal.seal(JSON.stringify(store), storeKey), signal),
    taken: (signal) => records.get<SnapshotTaken>(takenKey, signal),
    setTaken: (taken, signal) => records.put(takenKey, taken, signal),
    setSchedule: (schedule, signal) =>
      schedule === undefined ? records.delete(scheduleKey, signal) : records.put(scheduleKey, schedule, signal),
  };
}

export function withoutStore(): AppError {
  return new AppError("conflict", "cannot use the store of snapshots: the cluster knows none", {
    remedy: "Name one with 'k8s snapshot store --url URL --bucket NAME --credentials FILE'.",
  });
}

export function withoutKey(): AppError {
  return new AppError("conflict", "cannot save a snapshot: the cluster has no key for snapshots", {
    remedy: "Make one with 'k8s snapshot key --out FILE', and keep the file away from the cluster.",
  });
}
