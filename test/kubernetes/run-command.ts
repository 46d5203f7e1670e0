import { AppError, errorText } from "@k8sd/k8sd/lib/app-error.ts";
import { ExecaError, execa } from "execa";

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly signal: AbortSignal;
  readonly deadlineMs: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Sees each line of stdout and stderr as it comes. */
  readonly onLine?: (line: string) => void;
}

/** Enough for any answer that is looked at; programs that say more are cut. */
const outputLimit = 4 * 1024 * 1024;

/** Runs a program and gives its stdout and stderr as one text; a failure says what the program printed last. */
export async function runCommand(command: Command): Promise<string> {
  const name = [command.program, ...command.args.slice(0, 2)].join(" ");
  const child = execa(command.program, command.args, {
    all: true,
    stdin: "ignore",
    cancelSignal: command.signal,
    timeout: command.deadlineMs,
    maxBuffer: outputLimit,
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    ...(command.env === undefined ? {} : { env: command.env }),
  });
  try {
    if (command.onLine !== undefined) for await (const line of child.iterable({ from: "all" })) command.onLine(line);
    return (await child).all;
  } catch (error) {
    command.signal.throwIfAborted();
    throw failure(name, command, error);
  }
}

function failure(name: string, command: Command, error: unknown): AppError {
  if (!(error instanceof ExecaError)) return new AppError("internal", `cannot run ${name}: ${errorText(error)}`);
  if (error.code === "ENOENT") {
    return new AppError("not-found", `cannot run ${command.program}: it is not installed`, { cause: error });
  }
  const all = typeof error.all === "string" ? error.all : "";
  const last = all.trim().split("\n").slice(-3).join(" | ");
  if (error.timedOut) {
    return new AppError("timeout", `cannot finish ${name} within ${command.deadlineMs / 1000} s: ${last}`);
  }
  return new AppError("unavailable", `cannot run ${name}: exit ${error.exitCode ?? error.signal}: ${last}`);
}

export type RunCommand = typeof runCommand;
