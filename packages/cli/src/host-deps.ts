import { writeSync } from "node:fs";
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
  print: writer(1, () => process.stdout),
  printError: writer(2, () => process.stderr),
  errorTerminal: () => (process.stderr.isTTY ? { columns: process.stderr.columns || 80 } : undefined),
  onInterrupt: (listener) => {
    process.on("SIGINT", listener);
    return () => process.off("SIGINT", listener);
  },
  exit: (code) => process.exit(code),
  exec: (file, argv, env) => process.execve?.(file, argv, definedOnly(env)),
};

/**
 * Writes to the file itself, as Node.js needs a tenth of the time of a call to load its streams. One is opened when the
 * file is a non-blocking one whose reader is slow; from then on it has all there is to write, in order.
 */
function writer(file: 1 | 2, openStream: () => NodeJS.WriteStream): (text: string) => void {
  let stream: NodeJS.WriteStream | undefined;
  return (text) => {
    let rest = Buffer.from(text);
    while (stream === undefined && rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(file, rest));
      } catch (error) {
        if (!isFull(error)) leave();
        stream = openStream().on("error", leave);
      }
    }
    stream?.write(rest);
  };
}

function isFull(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EAGAIN";
}

/** The reader may be gone, as in `k8s status | head -1`: that is its choice, and nobody is left to tell. */
function leave(): never {
  process.exit(1);
}

function definedOnly(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));
}
