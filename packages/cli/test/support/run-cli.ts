import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { build } from "rolldown";
import { afterAll, beforeAll } from "vitest";
import { commandLine } from "../../../../rolldown.config.ts";

export interface CliOptions {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly entry?: "main" | "test";
}

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCli {
  readonly process: ChildProcessByStdio<Writable, Readable, Readable>;
  /** What it has written to stderr so far. */
  stderr(): string;
  readonly result: Promise<CliResult>;
}

const bundles = mkdtempSync(join(tmpdir(), "k8s-cli-bundle-"));

/** Bundled as it is shipped: so the bundle is what is tested, and fifty processes start in half of the time. */
beforeAll(async () => {
  const bundle = (name: string, input: URL) =>
    build({ ...commandLine(fileURLToPath(input), join(bundles, name)), logLevel: "warn" });
  await Promise.all([
    bundle("main", new URL("../../src/main.ts", import.meta.url)),
    bundle("test", new URL("./cli-entry.ts", import.meta.url)),
  ]);
});

afterAll(() => rm(bundles, { recursive: true, force: true }));

/** The program's file. */
export const mainBundle = fileOf("main");
/** The same for a caller who is root. */
export const testBundle = fileOf("test");

function fileOf(entry: string): string {
  return join(bundles, entry, "k8s.cjs");
}

/** Starts the real program: sockets, signals and exit codes are the operating system's. */
export function startCli(options: CliOptions): RunningCli {
  const child = spawn(process.execPath, [fileOf(options.entry ?? "test"), ...options.args], {
    env: { PATH: process.env.PATH, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  // A program that has ended reads no more.
  child.stdin.on("error", () => {});
  child.stdin.end(options.stdin ?? "");
  const result = new Promise<CliResult>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { process: child, stderr: () => stderr, result };
}
