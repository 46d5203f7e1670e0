import type { Command } from "commander";
import { CliError } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { subcommand } from "../usage.ts";

export function completionCommand(deps: CliDeps, program: Command): Command {
  return subcommand("completion", "Generate the autocompletion script for bash, zsh or fish", deps)
    .argument("<shell>", "bash, zsh or fish")
    .action(async (shell: string) => {
      const { completionScripts } = await import("../format/completion.ts");
      const script = Object.hasOwn(completionScripts, shell) ? completionScripts[shell] : undefined;
      if (script === undefined) {
        throw new CliError(`Error: unknown shell ${JSON.stringify(shell)}, must be one of: bash, zsh, fish\n`);
      }
      const words = program
        .createHelp()
        .visibleCommands(program)
        .map((command) => ({
          name: command.name(),
          description: command.description(),
          flags: command.options.flatMap((option) => (option.hidden || !option.long ? [] : [option.long])),
        }));
      deps.print(script(words));
    });
}
