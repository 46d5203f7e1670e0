import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const entry = fileURLToPath(new URL("../../../../src/datastore/engine/main.ts", import.meta.url));

export interface EngineProcess extends AsyncDisposable {
  readonly pid: number;
  /** As the engine says it, with the port it got. */
  readonly endpoint: string;
  kill(signal: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Starts the real program and waits until it serves. */
export async function startEngine(args: readonly string[]): Promise<EngineProcess> {
  const child = spawn(process.execPath, ["-C", "source", entry, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  const endpoint = await servingAt(child, () => errors);
  const kill = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit");
      child.kill(signal);
      await exited;
    }
    return { code: child.exitCode, signal: child.signalCode };
  };
  return {
    pid: child.pid ?? 0,
    endpoint,
    kill,
    async [Symbol.asyncDispose]() {
      await kill("SIGKILL");
    },
  };
}

async function servingAt(child: ChildProcess, errors: () => string): Promise<string> {
  if (!child.stdout) throw new Error("no output");
  const lines = createInterface({ input: child.stdout });
  return await new Promise<string>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`engine ended with ${code}: ${errors()}`)));
    lines.on("line", (line) => {
      const entry = JSON.parse(line) as { msg: string; urls?: string[] };
      if (entry.msg === "Serving") resolve(entry.urls?.[0] ?? "");
    });
  });
}

export async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "k8s-datastore-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
