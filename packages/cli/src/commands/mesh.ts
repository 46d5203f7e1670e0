import type { MeshStatus } from "@k8sd/api-types";
import type { Command } from "commander";
import { failed } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { durationFlag, subcommand } from "../usage.ts";

export function meshCommand(deps: CliDeps): Command {
  const command = subcommand(
    "mesh",
    "Show how this node reaches the others, and why not where it does not",
    deps,
  ).option("--output-format <format>", "set the output format to one of plain, json or yaml", "plain");
  durationFlag(command, "--timeout", "the max time to wait for the command to execute", "1m30s");
  return command.action(async (options: { readonly outputFormat: string; readonly timeout: number }) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const client = await connect(command, deps);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout);
    await requireLocalNode(client, signal);
    const status = await client.query<MeshStatus>("GET", "/k8sd/mesh", { signal }).catch((error: unknown) => {
      throw failed("Could not ask for the state of the mesh.", error);
    });
    const { meshOutput } = await import("../format/mesh.ts");
    deps.print(await render(meshOutput(status), format));
  });
}
