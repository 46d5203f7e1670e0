import type { DatastoreReport, MigrateRequest, MigrateResponse } from "@k8sd/api-types";
import type { Command } from "commander";
import type { BootstrapFile } from "../bootstrap-file.ts";
import { CliError, failed, failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { type CommonOptions, openSession, requireRoot } from "../session.ts";
import { outputFlag, subcommand, timeoutFlag } from "../usage.ts";
import { rotateKeyCommand } from "./datastore-rotate-key.ts";

export function datastoreCommand(deps: CliDeps): Command {
  const command = subcommand("datastore", "Show and change what holds the cluster's data", deps).usage("[command]");
  command.addCommand(statusCommand(deps));
  command.addCommand(migrateCommand(deps));
  command.addCommand(rotateKeyCommand(deps));
  return command;
}

function statusCommand(deps: CliDeps): Command {
  const command = subcommand("status", "Show the engine, its state and its size", deps);
  outputFlag(command);
  timeoutFlag(command, "1m30s");
  return command.action(async (options: CommonOptions) => {
    const { client, signal, print } = await openSession(command, deps, options);
    const report = await client
      .query<DatastoreReport>("GET", "/k8sd/datastore", { signal })
      .catch(failing("Could not read the state of the datastore."));
    const { datastoreOutput } = await import("../format/datastore.ts");
    await print(datastoreOutput(report));
  });
}

interface MigrateOptions extends CommonOptions {
  readonly to?: string;
  readonly file?: string;
}

function migrateCommand(deps: CliDeps): Command {
  const command = subcommand("migrate", "Move the cluster's data to another engine while the cluster works", deps)
    .option("--to <engine>", "the engine that the cluster gets: etcd, sqlite or external")
    .option(
      "--file <path>",
      "path to a YAML file with datastore-servers and what an etcd needs, as in a bootstrap configuration, for --to external, - for stdin",
    );
  outputFlag(command);
  timeoutFlag(command, "15m");
  return command.action(async ({ to, file, ...options }: MigrateOptions) => {
    requireRoot(deps);
    if (to !== "etcd" && to !== "sqlite" && to !== "external") {
      throw new CliError("Error: --to must be etcd, sqlite or external.\n");
    }
    const given = await readDatastore(to, file, deps);
    const { follow, print } = await openSession(command, deps, options, { operation: true });
    const order = { ...given, to } as Omit<MigrateRequest, "timeout">;
    const result = await follow<MigrateRequest, MigrateResponse>("/k8sd/datastore/migration", order).catch(
      failing("Failed to migrate the datastore."),
    );
    const { migratedOutput } = await import("../format/datastore.ts");
    await print(migratedOutput(result));
  });
}

/** What a bootstrap configuration says of a datastore; whether its keys are right is the daemon's to say. */
async function readDatastore(to: string, file: string | undefined, deps: CliDeps): Promise<BootstrapFile> {
  if ((to === "external") !== (file !== undefined)) {
    throw new CliError("Error: --file is for --to external, which needs it.\n");
  }
  if (file === undefined) return {};
  try {
    const [{ parseBootstrapFile }, { readText }] = await Promise.all([
      import("../bootstrap-file.ts"),
      import("../read-text.ts"),
    ]);
    const { "datastore-type": type = "external", ...given } = parseBootstrapFile(await readText(file, deps));
    if (type !== "external") throw new Error(`datastore-type is ${String(type)}, not external`);
    return given;
  } catch (error) {
    throw failed(`Failed to read the datastore's configuration from ${JSON.stringify(file)}.`, error);
  }
}
