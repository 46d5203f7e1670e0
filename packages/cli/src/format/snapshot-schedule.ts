import type { SnapshotScheduleStatus } from "@k8sd/api-types";
import { formatDuration } from "../duration.ts";
import type { Output } from "./output.ts";
import { PlainScalar, type YamlValue } from "./yaml.ts";

export function scheduleOutput(status: SnapshotScheduleStatus): Output {
  return { plain: () => plain(status).join("\n"), json: () => fields(status), yaml: () => yaml(status) };
}

function plain({ schedule, last, path, failed, error, next }: SnapshotScheduleStatus): readonly string[] {
  const before = [
    ...(last === undefined ? [] : [`The last one is of ${inSeconds(last)}: ${path}`]),
    ...(failed === undefined ? [] : [`It failed at ${inSeconds(failed)}: ${error}`]),
  ];
  if (schedule === undefined) return ["The cluster saves no snapshots by itself.", ...before];
  const { every, keep, directory, store, node } = schedule;
  const place = store ? `to the store, by ${node}` : `to ${directory} on ${node}`;
  const kept = keep === 0 ? "all are kept" : `the newest ${keep} are kept`;
  return [
    `The cluster saves a snapshot every ${formatDuration(every)} ${place}; ${kept}.`,
    ...before,
    ...(next === undefined ? [] : [`The next one is due at ${inSeconds(next)}.`]),
  ];
}

/** The keys in one order, whatever order they came in. */
function fields({ schedule, last, path, failed, error, next }: SnapshotScheduleStatus): SnapshotScheduleStatus {
  return {
    ...(schedule === undefined ? {} : { schedule }),
    ...(last === undefined ? {} : { last }),
    ...(path === undefined ? {} : { path }),
    ...(failed === undefined ? {} : { failed }),
    ...(error === undefined ? {} : { error }),
    ...(next === undefined ? {} : { next }),
  };
}

function yaml(status: SnapshotScheduleStatus): YamlValue {
  const { last, failed, next, ...rest } = fields(status);
  const times = Object.entries({ last, failed, next }).flatMap(([name, time]) =>
    time === undefined ? [] : [[name, new PlainScalar(time)] as const],
  );
  return { ...rest, ...Object.fromEntries(times) };
}

/** Nobody reads milliseconds. */
function inSeconds(time: string): string {
  return time.replace(/\.\d+Z$/, "Z");
}
