import type { JoinRequest } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failed, messageOf } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { joinOutput } from "../format/join-result.ts";
import { type CommonOptions, openDaemonSession, refuseMember } from "../session.ts";
import { outputFlag, subcommand, timeoutFlag } from "../usage.ts";

interface Options extends CommonOptions {
  readonly file?: string;
  readonly name?: string;
  readonly address?: string;
  readonly containerdBaseDir?: string;
}

export function joinClusterCommand(deps: CliDeps): Command {
  const command = subcommand("join-cluster", "Join a cluster using the provided token", deps)
    .argument("<join-token>", "as 'k8s get-join-token' printed it on a control plane")
    .option("--file <path>", "path to the YAML file containing your custom node configuration, - for stdin")
    .option("--name <name>", "node name, defaults to hostname")
    .option("--address <address>", "microcluster address or CIDR, defaults to the node IP address")
    .option("--containerd-base-dir <directory>", "the base directory for all containerd-related paths");
  outputFlag(command);
  timeoutFlag(command, "1m30s");
  return command.action(async (token: string, options: Options) => {
    const { client, follow, print } = await openDaemonSession(command, deps, options, { operation: true });
    await refuseMember(client);
    const config = await readConfig(options, deps);
    const name = options.name || deps.hostname();
    deps.printError("Joining the cluster. This may take a few seconds, please wait.\n");
    const order = { name, address: options.address ?? "", token, config };
    await follow<JoinRequest, unknown>("/k8sd/cluster/join", order).catch(fail);
    await print(joinOutput(name));
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

function fail(error: unknown): never {
  const [, invalid] = /: cannot read the configuration: (.*)$/s.exec(messageOf(error)) ?? [];
  if (invalid !== undefined)
    throw new CliError(`Join cluster config verification failed: ${invalid}`, { cause: error });
  throw failed("Failed to join the cluster using the provided token.", error);
}
