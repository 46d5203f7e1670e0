import { Readable } from "node:stream";
import { runCli } from "../../src/cli.ts";
import type { CliResult } from "./run-cli.ts";

/** The CLI without a process around it: for command lines that end before anything of the machine is touched. */
export async function runInProcess(args: readonly string[], uid = 0): Promise<CliResult> {
  let stdout = "";
  let stderr = "";
  const code = await runCli(args, {
    env: {},
    root: "/nonexistent",
    uid: () => uid,
    hostname: () => "node-a",
    stdin: () => Readable.from([]),
    print: (text) => {
      stdout += text;
    },
    printError: (text) => {
      stderr += text;
    },
    errorTerminal: () => undefined,
    onInterrupt: () => () => {},
    exit: (exitCode) => {
      throw new Error(`exit ${exitCode}`);
    },
    exec: () => {},
  });
  return { code, stdout, stderr };
}
