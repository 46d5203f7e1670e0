import type { Command } from "commander";
import { CliError, failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { type CommonOptions, openSession } from "../session.ts";
import { subcommand, timeoutFlag } from "../usage.ts";

export function revokeTokenCommand(deps: CliDeps): Command {
  const command = subcommand("revoke-token", "Revoke a join token, also for nodes that are still joining", deps);
  command.argument("<id>", "id of the token, as 'k8s tokens' shows it");
  timeoutFlag(command, "1m30s");
  return command.action(async (id: string, options: CommonOptions) => {
    if (id === "") throw new CliError("Error: The id of a token is required; 'k8s tokens' lists them.\n");
    const { client, signal } = await openSession(command, deps, options);
    await client
      .query("DELETE", `/k8sd/cluster/tokens/${encodeURIComponent(id)}`, { signal })
      .catch(failing(`Could not revoke the join token ${JSON.stringify(id)}.`));
    deps.print(`Revoked join token ${id}.\n`);
  });
}
