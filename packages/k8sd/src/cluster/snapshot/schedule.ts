import type { SnapshotScheduleRequest, SnapshotScheduleStatus } from "@k8sd/api-types";
import type { Paths } from "../../host/paths.ts";
import { AppError } from "../../lib/app-error.ts";
import type { KnownMember } from "../roster.ts";
import { checkedDirectory } from "./folder.ts";
import {
  type SnapshotSchedule,
  type SnapshotSettings,
  type SnapshotTaken,
  withoutKey,
  withoutStore,
} from "./settings.ts";

export interface ScheduleDeps {
  readonly paths: Pick<Paths, "snapshots">;
  readonly settings: () => Promise<SnapshotSettings>;
  readonly self: () => { readonly nodeId: string };
  readonly now: () => number;
  readonly members: () => readonly Pick<KnownMember, "id" | "name" | "role" | "state">[];
}

/** A save reads and tries all of the data; more often than this the cluster does little else. */
const leastMs = 60_000;
/** After a failure, unless the next one is due earlier. */
const retryMs = 10 * 60_000;

/** Milliseconds until the next one is due, from what is known of the last ones. */
export function untilDue(
  { everyMs }: Pick<SnapshotSchedule, "everyMs">,
  taken: SnapshotTaken | undefined,
  now: number,
): number {
  if (taken === undefined) return 0;
  const { at, failedAt } = taken;
  const due = at === undefined ? 0 : at + everyMs;
  const again = failedAt === undefined ? 0 : failedAt + Math.min(everyMs, retryMs);
  // A clock that was set back must not stop them.
  return Math.min(Math.max(due, again, now) - now, everyMs);
}

/**
 * Whose turn it is: the node on which the schedule was made, because its directory is there; when it is a control plane no
 * more, the first one of those there are.
 */
export function whoseTurn(
  schedule: SnapshotSchedule,
  members: ReturnType<ScheduleDeps["members"]>,
): string | undefined {
  const able = members.filter(({ role, state }) => role === "control-plane" && state === "active");
  const own = able.find(({ id }) => id === schedule.nodeId);
  return (own ?? able.toSorted((a, b) => (a.id < b.id ? -1 : 1))[0])?.id;
}

export function createSchedule(deps: ScheduleDeps) {
  return {
    async schedule(signal: AbortSignal): Promise<SnapshotScheduleStatus> {
      const now = deps.now();
      const settings = await deps.settings();
      const [schedule, taken] = await Promise.all([settings.schedule(signal), settings.taken(signal)]);
      const last = taken?.at === undefined ? {} : { last: new Date(taken.at).toISOString(), path: taken.path };
      const failure =
        taken?.failedAt === undefined ? {} : { failed: new Date(taken.failedAt).toISOString(), error: taken.error };
      if (schedule === undefined) return { ...last, ...failure };
      const turn = whoseTurn(schedule, deps.members());
      return {
        schedule: {
          every: schedule.everyMs * 1e6,
          keep: schedule.keep,
          directory: schedule.store ? "" : schedule.directory,
          store: schedule.store ?? false,
          node: deps.members().find(({ id }) => id === turn)?.name ?? "",
        },
        ...last,
        ...failure,
        next: new Date(now + untilDue(schedule, taken, now)).toISOString(),
      };
    },

    async setSchedule(request: SnapshotScheduleRequest, signal: AbortSignal): Promise<void> {
      const settings = await deps.settings();
      if (request.every === 0) return settings.setSchedule(undefined, signal);
      const everyMs = Math.ceil(request.every / 1e6);
      if (everyMs < leastMs) {
        throw new AppError("invalid", "cannot save snapshots more often than once a minute", { field: "--every" });
      }
      if ((await settings.lock(signal)) === undefined) throw withoutKey();
      const { keep, store } = request;
      if (store && (await settings.store(signal)) === undefined) throw withoutStore();
      const directory = checkedDirectory(request.directory || deps.paths.snapshots);
      const { nodeId } = deps.self();
      await settings.setSchedule({ everyMs, keep, directory, store, nodeId }, signal);
    },
  };
}
