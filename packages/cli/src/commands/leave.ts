import type { LeaveRequest } from "@k8sd/api-types";
import type { Command } from "commander";
import { failed } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum, second } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { leftOutput } from "../format/removal.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { durationFlag, subcommand } from "../usage.ts";

interface Options {
  readonly force?: boolean;
  readonly outputFormat: string;
  readonly timeout: number;
}

/** So that the daemon, which has the timeout itself, is the one to report that it passed. */
const grace = 30 * second;

export function leaveCommand(deps: CliDeps): Command {
  const command = subcommand("leave", "Take this node out of its cluster and remove what belongs to it", deps)
    .option("--force", "leave without the consent of the cluster, for example when it is gone")
    .option("--output-format <format>", "set the output format to one of plain, json or yaml", "plain");
  durationFlag(command, "--timeout", "the max time to wait for the command to execute", "3m");
  return command.action(async ({ force = false, ...options }: Options) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const client = await connect(command, deps);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout + grace);
    const { status } = await requireLocalNode(client, signal);
    const name = status.name ?? deps.hostname();
    deps.printError("Leaving the cluster. This may take a few seconds, please wait.\n");
    const body: LeaveRequest = { force, timeout };
    const { followOperation } = await import("../follow.ts");
    await followOperation(client, { path: "/k8sd/cluster/leave", body, signal }, deps).catch((error: unknown) => {
      throw failed("Failed to leave the cluster.", error);
    });
    deps.print(await render(leftOutput(name), format));
  });
}
