import { execa } from "execa";

import { AppError } from "../lib/app-error.ts";
import type { RunOptions, RunResult } from "./host.ts";

/** No command of ours prints more; one that does is stopped instead of filling the memory. */
const maxOutputCharacters = 8 * 1024 * 1024;
/** Enough to see the reason, little enough for one error message. */
const tailLines = 5;
const tailCharacters = 600;

export type Run = (argv: readonly string[], options: RunOptions) => Promise<RunResult>;

/** @param baseEnv what every command gets besides the daemon's own environment. */
export function createRun(baseEnv: Readonly<Record<string, string>>): Run {
  return async function run(argv, options) {
    const [program, ...args] = argv;
    if (program === undefined) throw new Error("run needs a program");
    options.signal.throwIfAborted();
    const timeoutMs = options.timeoutMs ?? 30_000;
    const result = await execa(program, args, {
      env: { ...baseEnv, ...options.env },
      timeout: timeoutMs,
      cancelSignal: options.signal,
      maxBuffer: maxOutputCharacters,
      // SIGTERM first; a program that ignores it does not hold the daemon.
      forceKillAfterDelay: 1_000,
      reject: false,
      ...(options.input === undefined ? { stdin: "ignore" as const } : { input: options.input }),
    });
    options.signal.throwIfAborted();

    const { stdout, stderr, exitCode } = result;
    if (result.timedOut) {
      throw failure("timeout", argv, `it did not end within ${timeoutMs / 1000} s`, stderr || stdout);
    }
    if (result.isMaxBuffer) {
      throw failure("internal", argv, `it printed more than ${maxOutputCharacters} characters`, "");
    }
    if (exitCode === undefined) {
      const missing = result.code === "ENOENT";
      const reason = missing
        ? "the program is missing"
        : result.signal === undefined
          ? (result.code ?? "it could not be started")
          : `it was ended by ${result.signal}`;
      throw failure(missing ? "not-found" : "internal", argv, reason, stderr || stdout);
    }
    if (exitCode !== 0 && !(options.okExitCodes ?? []).includes(exitCode)) {
      throw failure("internal", argv, `exit code ${exitCode}`, stderr || stdout);
    }
    return { exitCode, stdout, stderr };
  };
}

function failure(
  kind: "timeout" | "internal" | "not-found",
  argv: readonly string[],
  reason: string,
  output: string,
): AppError {
  const tail = endOf(output);
  return new AppError(kind, `cannot run ${commandName(argv)}: ${reason}${tail === "" ? "" : `: ${tail}`}`, {
    details: { argv },
  });
}

/** "systemctl start k8s-kubelet.service": the program and what it was told, without its options. */
function commandName([program, ...args]: readonly string[]): string {
  return [program, ...args.filter((arg) => !arg.startsWith("-")).slice(0, 2)].join(" ");
}

/** The last lines, where programs say why they gave up. */
function endOf(output: string): string {
  return output.trim().split("\n").slice(-tailLines).join("\n").slice(-tailCharacters);
}
