import type { KubeconfigResponse } from "@k8sd/api-types";
import type { Command } from "commander";
import { failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { type CommonOptions, openSession } from "../session.ts";
import { subcommand, timeoutFlag } from "../usage.ts";

interface Options extends CommonOptions {
  readonly server?: string;
}

export function configCommand(deps: CliDeps): Command {
  const command = subcommand("config", "Generate an admin kubeconfig that can be used to access the cluster", deps);
  command.option("--server <url>", "custom cluster server address");
  timeoutFlag(command, "1m30s");
  return command.action(async ({ server = "", ...options }: Options) => {
    const { client, signal } = await openSession(command, deps, options);
    const { kubeconfig } = await client
      .query<KubeconfigResponse>("GET", "/k8sd/kubeconfig", { body: { server }, signal })
      .catch(failing(`Failed to generate an admin kubeconfig for ${JSON.stringify(server)}.`));
    deps.print(`${kubeconfig}\n`);
  });
}
