import type { ListJoinTokensResponse } from "@k8sd/api-types";
import type { Command } from "commander";
import { failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { type CommonOptions, openSession } from "../session.ts";
import { outputFlag, subcommand, timeoutFlag } from "../usage.ts";

export function tokensCommand(deps: CliDeps): Command {
  const command = subcommand("tokens", "List the join tokens with their state, uses and expiry", deps);
  outputFlag(command);
  timeoutFlag(command, "1m30s");
  return command.action(async (options: CommonOptions) => {
    const { client, signal, print } = await openSession(command, deps, options);
    const { tokens } = await client
      .query<ListJoinTokensResponse>("GET", "/k8sd/cluster/tokens", { signal })
      .catch(failing("Could not list the join tokens."));
    const { joinTokensOutput } = await import("../format/join-tokens.ts");
    await print(joinTokensOutput(tokens));
  });
}
