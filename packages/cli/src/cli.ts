import { Command, CommanderError, Option } from "commander";
import { CliError, messageOf } from "./cli-error.ts";
import { bootstrapCommand } from "./commands/bootstrap.ts";
import { cleanupCommand } from "./commands/cleanup.ts";
import { completionCommand } from "./commands/completion.ts";
import { configCommand } from "./commands/config.ts";
import { datastoreCommand } from "./commands/datastore.ts";
import { getJoinTokenCommand } from "./commands/get-join-token.ts";
import { joinClusterCommand } from "./commands/join-cluster.ts";
import { kubectlCommand } from "./commands/kubectl.ts";
import { leaveCommand } from "./commands/leave.ts";
import { localNodeStatusCommand } from "./commands/local-node-status.ts";
import { meshCommand } from "./commands/mesh.ts";
import { recoverCommand } from "./commands/recover.ts";
import { removeNodeCommand } from "./commands/remove-node.ts";
import { revokeTokenCommand } from "./commands/revoke-token.ts";
import { setAddressCommand } from "./commands/set-address.ts";
import { snapshotCommand } from "./commands/snapshot.ts";
import { statusCommand } from "./commands/status.ts";
import { tokensCommand } from "./commands/tokens.ts";
import type { CliDeps } from "./deps.ts";
import { resolveBooleanFlags } from "./go-flags.ts";
import { strictly, usageError } from "./usage.ts";

/** Runs one command line; gives the exit code. */
export async function runCli(argv: readonly string[], deps: CliDeps): Promise<number> {
  const program = createProgram(deps);
  try {
    const flags = resolveBooleanFlags(argv, booleanFlags(program), new Set(["kubectl"]));
    if (!flags.ok) throw usageError(program, flags.message);
    await program.parseAsync(flags.argv, { from: "user" });
    return 0;
  } catch (error) {
    // Help and what asked for it has been printed.
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    deps.printError(error instanceof CliError ? error.text : `Error: ${messageOf(error)}\n`);
    if (program.opts().debug && error instanceof Error) deps.printError(`\n${error.stack ?? ""}\n`);
    return 1;
  }
}

function createProgram(deps: CliDeps): Command {
  const program = strictly(new Command("k8s"), deps)
    .description("Canonical Kubernetes CLI")
    .usage("[command]")
    .argument("[command]")
    .enablePositionalOptions()
    .helpOption("-h, --help", "help for k8s")
    .helpCommand("help [command]", "help about any command")
    .action((command: string | undefined) => {
      if (command === undefined) return program.outputHelp();
      const unknown = `unknown command ${JSON.stringify(command)} for "k8s"`;
      throw new CliError(`Error: ${unknown}\nRun 'k8s --help' for usage.\n`);
    });
  program.configureHelp({ visibleArguments: () => [] });
  program.commandsGroup("General:");
  program.addCommand(statusCommand(deps));
  program.addCommand(configCommand(deps), { hidden: true });
  program.addCommand(kubectlCommand(deps));
  program.commandsGroup("Clustering:");
  program.addCommand(bootstrapCommand(deps));
  program.addCommand(joinClusterCommand(deps));
  program.addCommand(getJoinTokenCommand(deps));
  program.addCommand(tokensCommand(deps));
  program.addCommand(revokeTokenCommand(deps));
  program.addCommand(meshCommand(deps));
  program.addCommand(recoverCommand(deps));
  program.addCommand(datastoreCommand(deps));
  program.addCommand(snapshotCommand(deps));
  program.addCommand(setAddressCommand(deps));
  program.addCommand(removeNodeCommand(deps));
  program.addCommand(leaveCommand(deps));
  program.addCommand(localNodeStatusCommand(deps), { hidden: true });
  program.addCommand(cleanupCommand(deps), { hidden: true });
  program.commandsGroup("Additional:");
  program.addCommand(completionCommand(deps, program));
  for (const command of allOf(program)) addHiddenFlags(command);
  return program;
}

/** With those below it. */
function allOf(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(allOf)];
}

/** Accepted before and behind the command, as scripts have them in both places. */
function addHiddenFlags(command: Command): void {
  if (command.name() === "kubectl") return;
  command.addOption(new Option("--state-dir <directory>", "directory of the daemon's socket").hideHelp());
  command.addOption(new Option("-d, --debug", "show more about errors").hideHelp());
  command.addOption(new Option("-v, --verbose", "accepted for compatibility").hideHelp());
}

function booleanFlags(program: Command): Set<string> {
  const options = allOf(program).flatMap((command) => command.options);
  return new Set(options.flatMap(({ required, optional, long }) => (required || optional || !long ? [] : [long])));
}
