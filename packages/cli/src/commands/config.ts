import type { KubeconfigResponse } from "@k8sd/api-types";
import type { Command } from "commander";
import { failed } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum } from "../duration.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { durationFlag, subcommand } from "../usage.ts";

export function configCommand(deps: CliDeps): Command {
  const command = subcommand("config", "Generate an admin kubeconfig that can be used to access the cluster", deps);
  command.option("--server <url>", "custom cluster server address");
  durationFlag(command, "--timeout", "the max time to wait for the command to execute", "1m30s");
  return command.action(async (options: { readonly server?: string; readonly timeout: number }) => {
    requireRoot(deps);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const client = await connect(command, deps);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout);
    await requireLocalNode(client, signal);
    const server = options.server ?? "";
    const { kubeconfig } = await client
      .query<KubeconfigResponse>("GET", "/k8sd/kubeconfig", { body: { server }, signal })
      .catch((error: unknown) => {
        throw failed(`Failed to generate an admin kubeconfig for ${JSON.stringify(server)}.`, error);
      });
    deps.print(`${kubeconfig}\n`);
  });
}
