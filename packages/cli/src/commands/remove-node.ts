import type { RemoveNodeRequest } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { removedOutput } from "../format/removal.ts";
import { type CommonOptions, openSession } from "../session.ts";
import { outputFlag, subcommand, timeoutFlag } from "../usage.ts";

interface Options extends CommonOptions {
  readonly force?: boolean;
}

export function removeNodeCommand(deps: CliDeps): Command {
  const command = subcommand("remove-node", "Remove a node from the cluster", deps)
    .argument("<node-name>", "its name, id or address")
    .option("--force", "remove it without asking its Pods to go elsewhere, and without regard to etcd's majority");
  outputFlag(command);
  timeoutFlag(command, "1m30s");
  return command.action(async (name: string, { force = false, ...options }: Options) => {
    if (name === "")
      throw new CliError("Error: The name, id or address of a node is required; 'k8s status' shows them.\n");
    const { follow, print } = await openSession(command, deps, options, { operation: true });
    const quoted = JSON.stringify(name);
    deps.printError(`Removing ${quoted} from the Kubernetes cluster. This may take a few seconds, please wait.\n`);
    await follow<RemoveNodeRequest, unknown>("/k8sd/cluster/remove", { name, force }).catch(
      failing(`Failed to remove node ${quoted} from the cluster.`),
    );
    await print(removedOutput(name));
  });
}
