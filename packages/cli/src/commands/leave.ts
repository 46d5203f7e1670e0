import type { LeaveRequest } from "@k8sd/api-types";
import type { Command } from "commander";
import { failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { leftOutput } from "../format/removal.ts";
import { type CommonOptions, openSession } from "../session.ts";
import { outputFlag, subcommand, timeoutFlag } from "../usage.ts";

interface Options extends CommonOptions {
  readonly force?: boolean;
}

export function leaveCommand(deps: CliDeps): Command {
  const command = subcommand("leave", "Take this node out of its cluster and remove what belongs to it", deps).option(
    "--force",
    "leave without the consent of the cluster, for example when it is gone",
  );
  outputFlag(command);
  timeoutFlag(command, "3m");
  return command.action(async ({ force = false, ...options }: Options) => {
    const { node, follow, print } = await openSession(command, deps, options, { operation: true });
    const name = node.status.name ?? deps.hostname();
    deps.printError("Leaving the cluster. This may take a few seconds, please wait.\n");
    await follow<LeaveRequest, unknown>("/k8sd/cluster/leave", { force }).catch(
      failing("Failed to leave the cluster."),
    );
    await print(leftOutput(name));
  });
}
