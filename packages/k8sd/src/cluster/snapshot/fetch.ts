import type { FetchSnapshotRequest, Snapshot, SnapshotStore } from "@k8sd/api-types";
import type { S3Options } from "../../datastore/snapshot/s3/request.ts";
import type { Paths } from "../../host/paths.ts";
import { AppError, errorText } from "../../lib/app-error.ts";
import { type DeferredRun, deferredRun } from "../../operations/deferred.ts";
import type { OperationRun, Runner } from "../../operations/runner.ts";
import { planFetch } from "./fetch-plan.ts";
import { checkedDirectory, checkedName } from "./folder.ts";
import { type SnapshotSettings, withoutStore } from "./settings.ts";
import { storeOptions } from "./store.ts";

export interface FetchDomainDeps {
  readonly paths: Pick<Paths, "snapshots">;
  readonly runner: Pick<Runner, "find" | "start">;
  readonly settings: () => Promise<SnapshotSettings>;
  /** False: this machine belongs to no cluster. */
  readonly isMember: () => boolean;
}

export interface FetchOrder extends Omit<FetchSnapshotRequest, "timeout" | "at"> {
  /** Undefined: the cluster's store. */
  readonly at?: SnapshotStore | undefined;
  /** 0 = the domain's own ceiling. */
  readonly timeoutMs: number;
}

/** Hundreds of gigabytes over a slow line; it goes on where it stopped. */
const fetchCeilingMs = 24 * 3_600_000;
const lookMs = 10_000;

interface Place {
  readonly directory: string;
  readonly store: boolean;
  readonly name: string;
}

export function createFetch(deps: FetchDomainDeps, describe: (place: Place) => Promise<Snapshot>) {
  /** The store that is given, or else that of the cluster. */
  async function storeAt(at: SnapshotStore | undefined, signal: AbortSignal): Promise<S3Options> {
    if (at !== undefined) return storeOptions(at);
    const remedy = "Name it with --url, --bucket and --credentials.";
    if (!deps.isMember()) {
      throw new AppError("invalid", "cannot tell which store is meant: this machine belongs to no cluster", { remedy });
    }
    const known = await deps
      .settings()
      .then((settings) => settings.store(signal))
      .catch((cause: unknown) => {
        // A cluster that needs its snapshots often has no datastore that answers.
        const text = `cannot ask the cluster where its store is: ${errorText(cause)}`;
        throw new AppError("unavailable", text, { cause, remedy });
      });
    if (known === undefined) throw withoutStore();
    return known;
  }

  async function begin({ directory, name, at, timeoutMs }: FetchOrder, requestId: string): Promise<OperationRun> {
    const input = { directory: checkedDirectory(directory || deps.paths.snapshots), name: checkedName(name) };
    const store = await storeAt(at, AbortSignal.timeout(lookMs));
    const limit = Math.min(timeoutMs === 0 ? fetchCeilingMs : timeoutMs, fetchCeilingMs);
    return deps.runner.start(planFetch(input, requestId), { secret: JSON.stringify(store), timeoutMs: limit });
  }

  return {
    storeAt,

    fetch(order: FetchOrder, { requestId }: { readonly requestId: string }): DeferredRun<Snapshot> {
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
