import type { RemoveNodeRequest } from "@k8sd/api-types";
import type { Command } from "commander";
import { failed } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum, second } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { removedOutput } from "../format/removal.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { durationFlag, subcommand } from "../usage.ts";

interface Options {
  readonly force?: boolean;
  readonly outputFormat: string;
  readonly timeout: number;
}

/** So that the daemon, which has the timeout itself, is the one to report that it passed. */
const grace = 30 * second;

export function removeNodeCommand(deps: CliDeps): Command {
  const command = subcommand("remove-node", "Remove a node from the cluster", deps)
    .argument("<node-name>", "its name, id or address")
    .option("--force", "remove it without asking its Pods to go elsewhere, and without regard to etcd's majority")
    .option("--output-format <format>", "set the output format to one of plain, json or yaml", "plain");
  durationFlag(command, "--timeout", "the max time to wait for the command to execute", "1m30s");
  return command.action(async (name: string, { force = false, ...options }: Options) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const client = await connect(command, deps);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout + grace);
    await requireLocalNode(client, signal);
    deps.printError(
      `Removing ${JSON.stringify(name)} from the Kubernetes cluster. This may take a few seconds, please wait.\n`,
    );
    const body: RemoveNodeRequest = { name, force, timeout };
    const { followOperation } = await import("../follow.ts");
    await followOperation(client, { path: "/k8sd/cluster/remove", body, signal }, deps).catch((error: unknown) => {
      throw failed(`Failed to remove node ${JSON.stringify(name)} from the cluster.`, error);
    });
    deps.print(await render(removedOutput(name), format));
  });
}
