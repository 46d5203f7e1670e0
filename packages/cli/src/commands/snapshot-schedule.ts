import type { SnapshotScheduleRequest, SnapshotScheduleStatus } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { parseDuration } from "../duration.ts";
import { type CommonOptions, openSession, requireRoot } from "../session.ts";
import { countFlag, outputFlag, subcommand, timeoutFlag } from "../usage.ts";

interface Options extends CommonOptions {
  readonly every?: string;
  readonly off?: boolean;
  readonly keep?: number;
  readonly directory?: string;
  readonly store?: boolean;
}

export function scheduleCommand(deps: CliDeps): Command {
  const command = subcommand("schedule", "Show or change when the cluster saves snapshots by itself", deps)
    .option("--every <duration>", "save one each time this has passed, for example 6h")
    .option("--off", "save none any more; those that are there stay")
    .option("--directory <directory>", "where they are saved (default: the node's own directory)")
    .option("--store", "save them to the cluster's store instead");
  outputFlag(command);
  countFlag(command, "--keep", "remove the oldest of the cluster's snapshots there beyond this number");
  timeoutFlag(command, "1m30s");
  return command.action(async (options: Options) => {
    requireRoot(deps);
    const change = await changeOf(options);
    const { client, signal, print } = await openSession(command, deps, options);
    const path = "/k8sd/snapshots/schedule";
    if (change !== undefined) {
      await client
        .query("PUT", path, { body: change, signal })
        .catch(failing("Could not change the schedule of snapshots."));
    }
    const status = await client
      .query<SnapshotScheduleStatus>("GET", path, { signal })
      .catch(failing("Could not read the schedule of snapshots."));
    const { scheduleOutput } = await import("../format/snapshot-schedule.ts");
    await print(scheduleOutput(status));
  });
}

/** Undefined: it is only shown. */
async function changeOf({
  every,
  off,
  keep,
  directory,
  store = false,
}: Options): Promise<SnapshotScheduleRequest | undefined> {
  if (off) {
    if (every !== undefined || keep !== undefined || directory !== undefined || store) {
      throw new CliError("Error: --off goes with no other flag of the schedule.\n");
    }
    return { every: 0, keep: 0, directory: "", store: false };
  }
  if (every === undefined) {
    if (keep === undefined && directory === undefined && !store) return undefined;
    throw new CliError("Error: --every must say how often snapshots are saved.\n");
  }
  const { resolve } = await import("node:path");
  const path = directory === undefined ? "" : resolve(directory);
  return { every: durationOf(every), keep: keep ?? 0, directory: path, store };
}

function durationOf(text: string): number {
  try {
    const duration = parseDuration(text);
    if (duration > 0) return duration;
  } catch {
    // Said below.
  }
  throw new CliError(`Error: --every is ${JSON.stringify(text)}, not a duration such as 6h or 30m.\n`);
}
