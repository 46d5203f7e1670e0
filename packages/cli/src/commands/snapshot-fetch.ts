import type { FetchSnapshotRequest, Snapshot } from "@k8sd/api-types";
import type { Command } from "commander";
import { failed } from "../cli-error.ts";
import type { Client } from "../client/client.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum, second } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { connect, requireRoot } from "../session.ts";
import { type StoreFlags, storeFlags, storeOf } from "../store-flags.ts";
import { outputFlag, subcommand, timeoutFlag } from "../usage.ts";

interface Options extends StoreFlags {
  readonly directory?: string;
  readonly outputFormat: string;
  readonly timeout: number;
}

/** So that the daemon, which has the timeout itself, is the one to report that it passed. */
const grace = 30 * second;

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
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const at = await storeOf(options, deps);
    const { resolve } = await import("node:path");
    const directory = options.directory === undefined ? "" : resolve(options.directory);
    const client = await connect(command, deps);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout + grace);
    const body = { name, directory, timeout, ...(at === undefined ? {} : { at }) };
    const fetched = await fetchSnapshot(client, body, signal, deps);
    const { fetchedOutput } = await import("../format/snapshots.ts");
    deps.print(await render(fetchedOutput(fetched), format));
  });
}

export async function fetchSnapshot(
  client: Client,
  body: FetchSnapshotRequest,
  signal: AbortSignal,
  deps: CliDeps,
): Promise<Snapshot> {
  const { followOperation } = await import("../follow.ts");
  const request = { path: "/k8sd/snapshots/fetch", body, signal };
  return followOperation<Snapshot>(client, request, deps).catch((error: unknown) => {
    throw failed("Failed to fetch the snapshot; the next try goes on with what is here.", error);
  });
}
