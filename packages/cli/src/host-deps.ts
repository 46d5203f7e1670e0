import { hostname } from "node:os";
import { env } from "node:process";
import type { CliDeps } from "./deps.ts";

/** The process and the machine it runs on. */
export const hostDeps: CliDeps = {
  env,
  root: "/",
  uid: () => process.geteuid?.() ?? 0,
  hostname,
  stdin: () => process.stdin,
  print: (text) => write(process.stdout, text),
  printError: (text) => write(process.stderr, text),
  errorTerminal: () => (process.stderr.isTTY ? { columns: process.stderr.columns || 80 } : undefined),
  onInterrupt: (listener) => {
    process.on("SIGINT", listener);
    return () => process.off("SIGINT", listener);
  },
  exit: (code) => process.exit(code),
  exec: (file, argv, env) => process.execve?.(file, argv, definedOnly(env)),
};

/** The reader may be gone, as in `k8s status | head -1`: that is its choice and no failure of ours. */
function write(stream: NodeJS.WriteStream, text: string): void {
  if (stream.listenerCount("error") === 0) stream.on("error", () => process.exit(1));
  stream.write(text);
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));
}
