import type { Command } from "commander";
import { failed } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum } from "../duration.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { durationFlag, subcommand } from "../usage.ts";

export function revokeTokenCommand(deps: CliDeps): Command {
  const command = subcommand("revoke-token", "Revoke a join token, also for nodes that are still joining", deps);
  command.argument("<id>", "id of the token, as 'k8s tokens' shows it");
  durationFlag(command, "--timeout", "the max time to wait for the command to execute", "1m30s");
  return command.action(async (id: string, options: { readonly timeout: number }) => {
    requireRoot(deps);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const client = await connect(command, deps);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout);
    await requireLocalNode(client, signal);
    await client
      .query("DELETE", `/k8sd/cluster/tokens/${encodeURIComponent(id)}`, { signal })
      .catch((error: unknown) => {
        throw failed(`Could not revoke the join token ${JSON.stringify(id)}.`, error);
      });
    deps.print(`Revoked join token ${id}.\n`);
  });
}
