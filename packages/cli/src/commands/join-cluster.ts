import type { JoinRequest } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failed, messageOf } from "../cli-error.ts";
import type { Client } from "../client/client.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum, second } from "../duration.ts";
import { joinOutput } from "../format/join-result.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { connect, findLocalNode, requireRoot } from "../session.ts";
import { subcommand, timeoutFlag } from "../usage.ts";

interface Options {
  readonly file?: string;
  readonly name?: string;
  readonly address?: string;
  readonly outputFormat: string;
  readonly timeout: number;
  readonly containerdBaseDir?: string;
}

/** So that the daemon, which has the timeout itself, is the one to report that it passed. */
const grace = 30 * second;

export function joinClusterCommand(deps: CliDeps): Command {
  const command = subcommand("join-cluster", "Join a cluster using the provided token", deps)
    .argument("<join-token>", "as 'k8s get-join-token' printed it on a control plane")
    .option("--file <path>", "path to the YAML file containing your custom node configuration, - for stdin")
    .option("--name <name>", "node name, defaults to hostname")
    .option("--address <address>", "microcluster address or CIDR, defaults to the node IP address")
    .option("--output-format <format>", "set the output format to one of plain, json or yaml", "plain")
    .option("--containerd-base-dir <directory>", "the base directory for all containerd-related paths");
  timeoutFlag(command, "1m30s");
  return command.action(async (token: string, options: Options) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const client = await connect(command, deps);
    const { deadline, defaultDeadline } = await import("../client/client.ts");
    if ((await findLocalNode(client, deadline(defaultDeadline))) !== undefined) {
      throw new CliError("Error: The node is already part of a cluster\n");
    }
    const config = await readConfig(options, deps);
    const name = options.name || deps.hostname();
    deps.printError("Joining the cluster. This may take a few seconds, please wait.\n");
    await join(client, { name, address: options.address ?? "", token, config, timeout }, deps);
    deps.print(await render(joinOutput(name), format));
  });
}

/** The daemon reads it by the schema of the token's kind; here it is only found, and completed by the flag. */
async function readConfig({ file, containerdBaseDir }: Options, deps: CliDeps): Promise<string> {
  const text = file === undefined || file === "" ? "" : await readFileOrStdin(file, deps);
  if (!containerdBaseDir) return text;
  const [{ parseBootstrapFile }, { stringify }] = await Promise.all([import("../bootstrap-file.ts"), import("yaml")]);
  try {
    return stringify({ ...parseBootstrapFile(text), "containerd-base-dir": containerdBaseDir });
  } catch (error) {
    throw failed(`Failed to read join configuration from ${JSON.stringify(file)}.`, error);
  }
}

async function readFileOrStdin(file: string, deps: CliDeps): Promise<string> {
  const { readText } = await import("../read-text.ts");
  return readText(file, deps).catch((error: unknown) => {
    throw failed(`Failed to read join configuration from ${JSON.stringify(file)}.`, error);
  });
}

async function join(client: Client, request: JoinRequest, deps: CliDeps): Promise<void> {
  const { deadline } = await import("../client/client.ts");
  const { followOperation } = await import("../follow.ts");
  const signal = deadline(request.timeout + grace);
  try {
    await followOperation(client, { path: "/k8sd/cluster/join", body: request, signal }, deps);
  } catch (error) {
    const [, invalid] = /: cannot read the configuration: (.*)$/s.exec(messageOf(error)) ?? [];
    if (invalid !== undefined) {
      throw new CliError(`Join cluster config verification failed: ${invalid}`, { cause: error });
    }
    throw failed("Failed to join the cluster using the provided token.", error);
  }
}
