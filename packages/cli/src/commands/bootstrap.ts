import type { BootstrapConfig, BootstrapRequest, NodeStatus } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failed, messageOf } from "../cli-error.ts";
import type { Client } from "../client/client.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { type CommonOptions, connect, refuseMember, requireRoot } from "../session.ts";
import { outputFlag, subcommand, timeoutFlag } from "../usage.ts";

interface Options extends CommonOptions {
  readonly interactive?: boolean;
  readonly file?: string;
  readonly name?: string;
  readonly address?: string;
  readonly containerdBaseDir?: string;
}

export function bootstrapCommand(deps: CliDeps): Command {
  const command = subcommand("bootstrap", "Bootstrap a new Kubernetes cluster", deps)
    .option("--interactive", "interactively configure the most important cluster options")
    .option(
      "--file <path>",
      "path to the YAML file containing your custom cluster bootstrap configuration, - for stdin",
    )
    .option("--name <name>", "node name, defaults to hostname")
    .option("--address <address>", "microcluster address or CIDR, defaults to the node IP address")
    .option("--containerd-base-dir <directory>", "the base directory for all containerd-related paths");
  outputFlag(command);
  timeoutFlag(command, "1m30s");
  return command.action(async (options: Options) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat ?? "plain");
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    await checkHost(deps);
    if (options.interactive && options.file) {
      throw new CliError("Error: --interactive and --file flags cannot be set at the same time.\n");
    }
    const client = await connect(command, deps);
    await refuseMember(client);
    const config = await withBaseDirectory(await readConfig(options, deps), options.containerdBaseDir, deps);
    const name = options.name || deps.hostname().toLowerCase();
    deps.printError("Bootstrapping the cluster. This may take a few seconds, please wait.\n");
    const node = await bootstrap(client, { name, address: options.address ?? "", config, timeout }, deps);
    const { bootstrapOutput } = await import("../format/bootstrap-result.ts");
    deps.print(await render(bootstrapOutput(node), format));
  });
}

async function checkHost(deps: CliDeps): Promise<void> {
  const { isMicrok8sInstalled, lxdHint } = await import("../bootstrap-host.ts");
  const hint = await lxdHint(deps.root);
  if (hint !== undefined) deps.printError(hint);
  const installed = await isMicrok8sInstalled(deps.root).catch((error: unknown) => {
    deps.printError(`Warning: failed to check if microk8s is installed: ${messageOf(error)}\n`);
    return false;
  });
  if (installed) {
    throw new CliError(
      "Error: microk8s snap is installed. Please remove it using the following command and try again:\n\n" +
        "  sudo snap remove microk8s\n",
    );
  }
}

async function readConfig(options: Options, deps: CliDeps): Promise<BootstrapConfig> {
  if (options.file) {
    const quoted = JSON.stringify(options.file);
    try {
      const [{ parseBootstrapFile }, { readText }] = await Promise.all([
        import("../bootstrap-file.ts"),
        import("../read-text.ts"),
      ]);
      return parseBootstrapFile(await readText(options.file, deps));
    } catch (error) {
      throw failed(`Failed to read bootstrap configuration from ${quoted}.`, error);
    }
  }
  const { askForConfig, usualConfig } = await import("../bootstrap-questions.ts");
  if (!options.interactive) return usualConfig();
  return askForConfig(deps.stdin(), deps.printError).catch((error: unknown) => {
    throw failed("Failed to read the answers.", error);
  });
}

async function withBaseDirectory(
  config: BootstrapConfig,
  flag: string | undefined,
  deps: CliDeps,
): Promise<BootstrapConfig> {
  if (!flag) return config;
  const { isAbsolute, normalize } = await import("node:path");
  const directory = normalize(flag);
  if (!isAbsolute(directory)) {
    throw new CliError(`Error: containerd-base-dir must be an absolute path, got ${JSON.stringify(flag)}\n`);
  }
  const { memoryFilesystem } = await import("../bootstrap-host.ts");
  const kind = await memoryFilesystem(directory);
  if (kind !== undefined) {
    deps.printError(
      `Warning: containerd base directory ${JSON.stringify(directory)} is on ${kind}: images and containers use memory and are lost on reboot.\n`,
    );
  }
  return { ...config, "containerd-base-dir": directory };
}

async function bootstrap(client: Client, request: BootstrapRequest, deps: CliDeps): Promise<NodeStatus> {
  const { operationDeadline } = await import("../client/client.ts");
  const { followOperation } = await import("../follow.ts");
  // From here on: questions to a person took none of it.
  const signal = operationDeadline(request.timeout);
  try {
    return await followOperation<NodeStatus>(client, { path: "/k8sd/cluster", body: request, signal }, deps);
  } catch (error) {
    const [, invalid] = /failed to prepare bootstrap config: (.*)$/s.exec(messageOf(error)) ?? [];
    if (invalid !== undefined) throw new CliError(`Bootstrap config verification failed: ${invalid}`, { cause: error });
    throw failed("Failed to bootstrap the cluster.", error);
  }
}
