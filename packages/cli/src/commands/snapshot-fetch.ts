import type { FetchSnapshotRequest, Snapshot } from "@k8sd/api-types";
import type { Command } from "commander";
import { failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { type CommonOptions, type DaemonSession, openDaemonSession, requireRoot } from "../session.ts";
import { type StoreFlags, storeFlags, storeOf } from "../store-flags.ts";
import { outputFlag, subcommand, timeoutFlag } from "../usage.ts";

interface Options extends StoreFlags, CommonOptions {
  readonly directory?: string;
}

export function fetchCommand(deps: CliDeps): Command {
  const command = storeFlags(
    subcommand("fetch", "Fetch a snapshot from the cluster's store, or from another one", deps)
      .argument("<name>", "the snapshot, as 'k8s snapshot list' has it")
      .option("--directory <directory>", "where the file is put (default: the node's own directory)"),
  );
  outputFlag(command);
  timeoutFlag(command, "1h");
  return command.action(async (name: string, options: Options) => {
    requireRoot(deps);
    const at = await storeOf(options, deps);
    const { follow, print } = await openDaemonSession(command, deps, options, { operation: true });
    const { resolve } = await import("node:path");
    const directory = options.directory === undefined ? "" : resolve(options.directory);
    const fetched = await fetchSnapshot(follow, { name, directory, ...(at === undefined ? {} : { at }) });
    const { fetchedOutput } = await import("../format/snapshots.ts");
    await print(fetchedOutput(fetched));
  });
}

export function fetchSnapshot(
  follow: DaemonSession["follow"],
  order: Omit<FetchSnapshotRequest, "timeout">,
): Promise<Snapshot> {
  return follow<FetchSnapshotRequest, Snapshot>("/k8sd/snapshots/fetch", order).catch(
    failing("Failed to fetch the snapshot; the next try goes on with what is here."),
  );
}
