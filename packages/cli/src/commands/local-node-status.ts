import type { Command } from "commander";
import type { CliDeps } from "../deps.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { outputFlag, subcommand } from "../usage.ts";

export function localNodeStatusCommand(deps: CliDeps): Command {
  const command = subcommand("local-node-status", "Retrieve the current status of the local node", deps);
  outputFlag(command);
  return command.action(async (options: { readonly outputFormat: string }) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const client = await connect(command, deps);
    const { deadline, defaultDeadline } = await import("../client/client.ts");
    const { status } = await requireLocalNode(client, deadline(defaultDeadline));
    const { localNodeOutput } = await import("../format/node-status.ts");
    deps.print(await render(localNodeOutput(status), format));
  });
}
