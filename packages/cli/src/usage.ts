import { Command, type CommanderError, Option } from "commander";
import { CliError } from "./cli-error.ts";
import type { CliDeps } from "./deps.ts";
import { parseDuration } from "./duration.ts";

const helpColumns = 80;

/** A command whose errors are ours to word. Help goes to stdout and is the same everywhere: to look at the terminal takes time. */
export function strictly(command: Command, deps: CliDeps): Command {
  return command
    .configureOutput({
      writeOut: deps.print,
      writeErr: () => {},
      outputError: () => {},
      getOutHasColors: () => false,
      getErrHasColors: () => false,
      getOutHelpWidth: () => helpColumns,
      getErrHelpWidth: () => helpColumns,
    })
    .showSuggestionAfterError(false)
    .allowExcessArguments(false)
    .exitOverride((error) => {
      if (error.exitCode === 0) throw error;
      throw usageError(command, wording(command, error));
    });
}

export function subcommand(name: string, description: string, deps: CliDeps): Command {
  return strictly(new Command(name), deps).description(description).helpOption("-h, --help", `help for ${name}`);
}

export function usageError(command: Command, message: string): CliError {
  return new CliError(`Error: ${message}\n${command.helpInformation()}\n`);
}

/** The texts that scripts know from programs built with cobra. */
function wording(command: Command, error: CommanderError): string {
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? "";
  switch (error.code) {
    case "commander.unknownOption": {
      const flag = quoted.split("=")[0] ?? quoted;
      return flag.startsWith("--")
        ? `unknown flag: ${flag}`
        : `unknown shorthand flag: '${flag.slice(1, 2)}' in ${flag}`;
    }
    case "commander.optionMissingArgument":
      return `flag needs an argument: ${quoted.split(" ")[0]}`;
    case "commander.excessArguments":
    case "commander.missingArgument": {
      const most = command.registeredArguments.some(({ required }) => !required) ? "at most " : "";
      return `accepts ${most}${command.registeredArguments.length} arg(s), received ${command.args.length}`;
    }
    default:
      return error.message.replace(/^error: /, "");
  }
}

/** Adds a flag that takes a duration of Go, in nanoseconds in the command's options. */
export function durationFlag(command: Command, flag: string, description: string, initial: string): Command {
  const parse = (text: string) => {
    try {
      return parseDuration(text);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw usageError(command, `invalid argument ${JSON.stringify(text)} for "${flag}" flag: ${reason}`);
    }
  };
  const option = new Option(`${flag} <duration>`, description);
  return command.addOption(option.argParser(parse).default(parseDuration(initial), initial));
}

export function timeoutFlag(command: Command, initial: string): Command {
  return durationFlag(command, "--timeout", "the max time to wait for the command to execute", initial);
}

export function outputFlag(command: Command): Command {
  return command.option("--output-format <format>", "set the output format to one of plain, json or yaml", "plain");
}

/** Adds a flag that takes a number of things, at least one. */
export function countFlag(command: Command, flag: string, description: string, initial?: number): Command {
  const parse = (text: string) => {
    if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
    throw usageError(
      command,
      `invalid argument ${JSON.stringify(text)} for "${flag}" flag: it must be a number from 1`,
    );
  };
  const option = new Option(`${flag} <number>`, description).argParser(parse);
  return command.addOption(initial === undefined ? option : option.default(initial));
}
