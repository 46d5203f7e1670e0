import type { DatastoreReport, MigrateRequest, MigrateResponse } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failed } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum, second } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { durationFlag, subcommand } from "../usage.ts";

/** So that the daemon, which has the timeout itself, is the one to report that it passed. */
const grace = 30 * second;

export function datastoreCommand(deps: CliDeps): Command {
  const command = subcommand("datastore", "Show and change what holds the cluster's data", deps).usage("[command]");
  command.addCommand(statusCommand(deps));
  command.addCommand(migrateCommand(deps));
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
  readonly outputFormat: string;
  readonly timeout: number;
}

function migrateCommand(deps: CliDeps): Command {
  const command = withOutput(
    subcommand("migrate", "Move the cluster's data to another engine while the cluster works", deps).option(
      "--to <engine>",
      "the engine that the cluster gets: etcd or sqlite",
    ),
  );
  durationFlag(command, "--timeout", "the max time to wait for the command to execute", "15m");
  return command.action(async (options: MigrateOptions) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const { to } = options;
    if (to !== "etcd" && to !== "sqlite") throw new CliError("Error: --to must be etcd or sqlite.\n");
    const client = await connect(command, deps);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout + grace);
    await requireLocalNode(client, signal);
    const { followOperation } = await import("../follow.ts");
    const body: MigrateRequest = { to, timeout };
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
