import { randomUUID } from "node:crypto";
import type { ListSnapshotsRequest, ListSnapshotsResponse, Snapshot, SnapshotKeyResponse } from "@k8sd/api-types";
import { createSnapshotKey, keyIdOf } from "../../datastore/snapshot/key.ts";
import type { Paths } from "../../host/paths.ts";
import { AppError } from "../../lib/app-error.ts";
import { type DeferredRun, deferredRun } from "../../operations/deferred.ts";
import type { OperationRun, Runner } from "../../operations/runner.ts";
import type { Connections } from "../connections.ts";
import { createRecords } from "../records.ts";
import type { Seal } from "../seal.ts";
import { createFetch } from "./fetch.ts";
import { checkedDirectory, type StoredSnapshot, snapshotName, snapshotsIn, snapshotsInStore } from "./folder.ts";
import { planSave } from "./save-plan.ts";
import { createSchedule, type ScheduleDeps } from "./schedule.ts";
import { createSnapshotSettings, type SnapshotSettings, withoutKey, withoutStore } from "./settings.ts";
import { createSnapshotStore } from "./store.ts";

export interface SnapshotsDeps extends Pick<ScheduleDeps, "self" | "members"> {
  readonly paths: Paths;
  readonly connections: () => Connections;
  readonly seal: () => Promise<Seal>;
  /** False: this machine belongs to no cluster. */
  readonly isMember: () => boolean;
  readonly runner: Pick<Runner, "find" | "start">;
  readonly now: () => number;
}

export interface SaveOrder {
  /** "" = the node's own. */
  readonly directory: string;
  /** True: to the cluster's store. */
  readonly store: boolean;
  /** 0 = all are kept. */
  readonly keep: number;
  /** 0 = the domain's own ceiling. */
  readonly timeoutMs: number;
}

/** Gigabytes are written and tried within minutes. */
const saveCeilingMs = 3_600_000;
/** For what is looked at before it begins. */
const lookMs = 10_000;
/** A store may be far away. */
const listMs = 60_000;

interface Place {
  readonly directory: string;
  readonly store: boolean;
  readonly name: string;
}

/** Snapshots of the cluster: its datastore, and what is needed beside it. */
export function createSnapshots(deps: SnapshotsDeps) {
  const settings = async (): Promise<SnapshotSettings> =>
    createSnapshotSettings(createRecords(await deps.connections().datastore()), await deps.seal());

  async function begin(order: SaveOrder, requestId: string): Promise<OperationRun> {
    const signal = AbortSignal.timeout(lookMs);
    const directory = checkedDirectory(order.directory || deps.paths.snapshots);
    const known = await settings();
    if ((await known.lock(signal)) === undefined) throw withoutKey();
    if (order.store && (await known.store(signal)) === undefined) throw withoutStore();
    const [id, createdAt] = [randomUUID(), deps.now()];
    const { store } = order;
    const input = { id, directory, store, name: snapshotName(createdAt, id), createdAt, keep: order.keep };
    const timeoutMs = Math.min(order.timeoutMs === 0 ? saveCeilingMs : order.timeoutMs, saveCeilingMs);
    return deps.runner.start(planSave(input, requestId), { timeoutMs });
  }

  async function listed(
    { directory, store, at }: ListSnapshotsRequest,
    signal: AbortSignal,
  ): Promise<readonly StoredSnapshot[]> {
    if (!store && at === undefined) return snapshotsIn(directory);
    return snapshotsInStore(await storeAt(at, signal), deps.now, signal);
  }

  async function describe({ directory, store, name }: Place): Promise<Snapshot> {
    const all = await listed({ directory, store }, AbortSignal.timeout(listMs));
    const found = all.find((snapshot) => snapshot.name === name);
    if (found !== undefined) return snapshotView(found);
    throw new AppError("not-found", `cannot describe the snapshot ${name}: it is not in ${directory} any more`);
  }

  const { schedule, setSchedule } = createSchedule({ ...deps, settings });
  const { storeAt, fetch } = createFetch({ ...deps, settings }, describe);
  const { store, setStore } = createSnapshotStore({ ...deps, settings });
  return {
    settings,
    schedule,
    setSchedule,
    store,
    setStore,
    fetch,

    /** The key as its holder gets it; the cluster keeps only what closes snapshots. */
    async createKey({ replace }: { readonly replace: boolean }, signal: AbortSignal): Promise<SnapshotKeyResponse> {
      const stored = await settings();
      const before = await stored.lock(signal);
      if (before !== undefined && !replace) {
        throw new AppError("conflict", `cannot make a key for snapshots: the cluster has one, ${keyIdOf(before)}`, {
          remedy: "Add --replace for a new one; snapshots that were made before still need the old one.",
        });
      }
      const { text, lock } = createSnapshotKey();
      await stored.setLock(lock, signal);
      return { key: text, id: keyIdOf(lock) };
    },

    async list(request: ListSnapshotsRequest, signal: AbortSignal): Promise<ListSnapshotsResponse> {
      const directory = checkedDirectory(request.directory || deps.paths.snapshots);
      const all = await listed({ ...request, directory }, signal);
      const inStore = request.store || request.at !== undefined;
      return { directory: inStore ? "the store" : directory, snapshots: all.map(snapshotView) };
    },

    save(order: SaveOrder, { requestId }: { readonly requestId: string }): DeferredRun<Snapshot> {
      const known = deps.runner.find(requestId);
      const run = deferredRun<Place>(requestId, known === undefined ? begin(order, requestId) : Promise.resolve(known));
      const result = run.result.then(describe);
      result.catch(() => {
        // Whoever asked gets it; nobody may be listening any more.
      });
      return { ...run, result };
    },
  };
}

function snapshotView({ name, path, bytes, header, problem }: StoredSnapshot): Snapshot {
  if (header === undefined) return { name, path, bytes, ...(problem === undefined ? {} : { problem }) };
  const { cluster, node, engine, revision, keys, createdAt, versions, key } = header;
  const created = new Date(createdAt).toISOString();
  return {
    name,
    path,
    bytes,
    content: {
      created,
      cluster: cluster.id,
      epoch: cluster.epoch,
      node,
      engine,
      revision,
      keys,
      versions,
      key: key.id,
    },
  };
}
