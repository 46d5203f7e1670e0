import type {
  ListSnapshotsRequest,
  ListSnapshotsResponse,
  SaveSnapshotRequest,
  Snapshot,
  SnapshotKeyResponse,
} from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failed, failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { type CommonOptions, openDaemonSession, openSession, requireRoot } from "../session.ts";
import { type StoreFlags, storeFlags, storeOf } from "../store-flags.ts";
import { countFlag, outputFlag, subcommand, timeoutFlag } from "../usage.ts";
import { fetchCommand } from "./snapshot-fetch.ts";
import { restoreCommand } from "./snapshot-restore.ts";
import { scheduleCommand } from "./snapshot-schedule.ts";
import { storeCommand } from "./snapshot-store.ts";

export function snapshotCommand(deps: CliDeps): Command {
  const command = subcommand("snapshot", "Save the cluster's data and bring it back", deps).usage("[command]");
  command.addCommand(keyCommand(deps));
  command.addCommand(saveCommand(deps));
  command.addCommand(listCommand(deps));
  command.addCommand(fetchCommand(deps));
  command.addCommand(scheduleCommand(deps));
  command.addCommand(storeCommand(deps));
  command.addCommand(restoreCommand(deps));
  return command;
}

interface KeyOptions extends CommonOptions {
  readonly out?: string;
  readonly replace?: boolean;
}

function keyCommand(deps: CliDeps): Command {
  const command = subcommand("key", "Make the key that opens the cluster's snapshots", deps)
    .option("--out <file>", "the file that the key is written to")
    .option("--replace", "make a new one although there is one");
  timeoutFlag(command, "1m30s");
  return command.action(async ({ out, replace = false, ...options }: KeyOptions) => {
    requireRoot(deps);
    if (out === undefined) throw new CliError("Error: --out must name the file that the key is written to.\n");
    const { client, signal } = await openSession(command, deps, options);
    const { open, rm } = await import("node:fs/promises");
    // Before anything is made: the key is told once.
    const file = await open(out, "wx", 0o600).catch((error: unknown) => {
      throw failed(`Could not write the key to ${out}.`, error);
    });
    try {
      const body = { replace };
      const { key, id } = await client.query<SnapshotKeyResponse>("POST", "/k8sd/snapshots/key", { body, signal });
      const head = `# Opens the snapshots that name the key ${id}. Keep it away from the cluster: nothing opens them without it.\n`;
      await file.writeFile(`${head}${key}\n`);
      await file.sync();
      deps.print(
        `The key ${id} is in ${out}. Keep it away from the cluster: nothing opens its snapshots without it.\n`,
      );
    } catch (error) {
      await rm(out, { force: true });
      throw failed("Could not make a key for snapshots.", error);
    } finally {
      await file.close();
    }
  });
}

interface SaveOptions extends CommonOptions {
  readonly directory?: string;
  readonly store?: boolean;
  readonly keep?: number;
}

function saveCommand(deps: CliDeps): Command {
  const command = subcommand("save", "Save a snapshot and restore it on trial", deps).option(
    "--directory <directory>",
    "where it is saved (default: the node's own directory)",
  );
  outputFlag(command).option("--store", "save it to the cluster's store instead");
  countFlag(command, "--keep", "remove the oldest of the cluster's snapshots there beyond this number");
  timeoutFlag(command, "15m");
  return command.action(async ({ directory, store = false, keep = 0, ...options }: SaveOptions) => {
    const { follow, print } = await openSession(command, deps, options, { operation: true });
    const order = { directory: await absolute(directory), store, keep };
    const saved = await follow<SaveSnapshotRequest, Snapshot>("/k8sd/snapshots", order).catch(
      failing("Failed to save a snapshot."),
    );
    const { savedOutput } = await import("../format/snapshots.ts");
    await print(savedOutput(saved));
  });
}

interface ListOptions extends StoreFlags, CommonOptions {
  readonly directory?: string;
  readonly store?: boolean;
}

function listCommand(deps: CliDeps): Command {
  const command = subcommand("list", "List the snapshots in a directory, or in a store", deps).option(
    "--directory <directory>",
    "where they are (default: the node's own directory)",
  );
  outputFlag(command).option("--store", "list those in the cluster's store instead");
  storeFlags(command);
  timeoutFlag(command, "1m30s");
  return command.action(async (options: ListOptions) => {
    requireRoot(deps);
    const at = await storeOf(options, deps);
    const place = { directory: await absolute(options.directory), store: options.store ?? false };
    // Also on a machine that belongs to no cluster: it may be about to become one.
    const { client, signal, print } = await openDaemonSession(command, deps, options);
    const body: ListSnapshotsRequest = { ...place, ...(at === undefined ? {} : { at }) };
    const found = await client
      .query<ListSnapshotsResponse>("GET", "/k8sd/snapshots", { body, signal })
      .catch(failing("Could not list the snapshots."));
    const { snapshotsOutput } = await import("../format/snapshots.ts");
    await print(snapshotsOutput(found));
  });
}

/** The daemon has another working directory. */
async function absolute(directory: string | undefined): Promise<string> {
  if (directory === undefined) return "";
  const { resolve } = await import("node:path");
  return resolve(directory);
}
