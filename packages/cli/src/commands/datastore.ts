import type { DatastoreReport, MigrateRequest, MigrateResponse } from "@k8sd/api-types";
import type { Command } from "commander";
import type { BootstrapFile } from "../bootstrap-file.ts";
import { CliError, failed } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum, second } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { durationFlag, subcommand } from "../usage.ts";
import { rotateKeyCommand } from "./datastore-rotate-key.ts";

/** So that the daemon, which has the timeout itself, is the one to report that it passed. */
const grace = 30 * second;

export function datastoreCommand(deps: CliDeps): Command {
  const command = subcommand("datastore", "Show and change what holds the cluster's data", deps).usage("[command]");
  command.addCommand(statusCommand(deps));
  command.addCommand(migrateCommand(deps));
  command.addCommand(rotateKeyCommand(deps));
  return command;
}

function withOutput(command: Command): Command {
  return command.option("--output-format <format>", "set the output format to one of plain, json or yaml", "plain");
}

function statusCommand(deps: CliDeps): Command {
  const command = withOutput(subcommand("status", "Show the engine, its state and its size", deps));
  durationFlag(command, "--timeout", "the max time to wait for the command to execute", "1m30s");
  return command.action(async (options: { readonly outputFormat: string; readonly timeout: number }) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const client = await connect(command, deps);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout);
    await requireLocalNode(client, signal);
    const report = await client.query<DatastoreReport>("GET", "/k8sd/datastore", { signal }).catch((error: unknown) => {
      throw failed("Could not read the state of the datastore.", error);
    });
    const { datastoreOutput } = await import("../format/datastore.ts");
    deps.print(await render(datastoreOutput(report), format));
  });
}

interface MigrateOptions {
  readonly to?: string;
  readonly file?: string;
  readonly outputFormat: string;
  readonly timeout: number;
}

function migrateCommand(deps: CliDeps): Command {
  const command = withOutput(
    subcommand("migrate", "Move the cluster's data to another engine while the cluster works", deps)
      .option("--to <engine>", "the engine that the cluster gets: etcd, sqlite or external")
      .option(
        "--file <path>",
        "path to a YAML file with datastore-servers, as in a bootstrap configuration, for --to external, - for stdin",
      ),
  );
  durationFlag(command, "--timeout", "the max time to wait for the command to execute", "15m");
  return command.action(async (options: MigrateOptions) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const { to } = options;
    if (to !== "etcd" && to !== "sqlite" && to !== "external") {
      throw new CliError("Error: --to must be etcd, sqlite or external.\n");
    }
    const given = await readDatastore(to, options.file, deps);
    const client = await connect(command, deps);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout + grace);
    await requireLocalNode(client, signal);
    const { followOperation } = await import("../follow.ts");
    const body = { ...given, to, timeout } as MigrateRequest;
    const result = await followOperation<MigrateResponse>(
      client,
      { path: "/k8sd/datastore/migration", body, signal },
      deps,
    ).catch((error: unknown) => {
      throw failed("Failed to migrate the datastore.", error);
    });
    const { migratedOutput } = await import("../format/datastore.ts");
    deps.print(await render(migratedOutput(result), format));
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
