import type { ListJoinTokensResponse } from "@k8sd/api-types";
import type { Command } from "commander";
import { failed } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { durationFlag, subcommand } from "../usage.ts";

export function tokensCommand(deps: CliDeps): Command {
  const command = subcommand("tokens", "List the join tokens with their state, uses and expiry", deps).option(
    "--output-format <format>",
    "set the output format to one of plain, json or yaml",
    "plain",
  );
  durationFlag(command, "--timeout", "the max time to wait for the command to execute", "1m30s");
  return command.action(async (options: { readonly outputFormat: string; readonly timeout: number }) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const client = await connect(command, deps);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout);
    await requireLocalNode(client, signal);
    const { tokens } = await client
      .query<ListJoinTokensResponse>("GET", "/k8sd/cluster/tokens", { signal })
      .catch((error: unknown) => {
        throw failed("Could not list the join tokens.", error);
      });
    const { joinTokensOutput } = await import("../format/join-tokens.ts");
    deps.print(await render(joinTokensOutput(tokens), format));
  });
}
