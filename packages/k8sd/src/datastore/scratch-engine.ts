import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../lib/app-error.ts";
import { poll } from "../lib/wait.ts";
import { openStore, type StoreAccess } from "./migrate/store-access.ts";

export interface ScratchEngineOptions {
  /** k8s-datastore, with what has to stand before its flags. */
  readonly argv: readonly string[];
  /** Made anew, and removed in the end. */
  readonly directory: string;
  readonly signal: AbortSignal;
}

/** It opens an empty file and a socket. */
const startMs = 30_000;
const stopMs = 10_000;
/** Enough for a reason. */
const keptOutput = 2_000;

/** An empty datastore of our own that only this process reaches, for as long as `use` takes; it leaves nothing behind. */
export async function withScratchEngine<T>(
  { argv, directory, signal }: ScratchEngineOptions,
  use: (store: StoreAccess) => Promise<T>,
): Promise<T> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const url = `unix://${join(directory, "socket")}`;
  const [program = "", ...before] = argv;
  const flags = ["--data-dir", join(directory, "data"), "--listen-client-urls", url, "--log-level", "error"];
  // Should this process be killed, its standard input ends and the engine with it.
  const child = spawn(program, [...before, ...flags, "--until-stdin-ends"], { stdio: ["pipe", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-keptOutput);
    });
  }
  // Its own end says more than a broken pipe.
  child.stdin.on("error", () => {});
  const ended = new AbortController();
  const failed = (cause?: unknown): void =>
    ended.abort(
      new AppError("internal", `cannot use a scratch datastore: its program ended: ${output.trim() || String(cause)}`, {
        cause,
      }),
    );
  child.once("error", failed);
  child.once("exit", () => failed());
  const exited = child.pid === undefined ? Promise.resolve() : once(child, "exit");
  const either = AbortSignal.any([signal, ended.signal]);
  try {
    await using store = openStore({ endpoints: [url] });
    await poll(() => store.data.status({ signal: either, timeoutMs: 1_000 }), {
      what: "use a scratch datastore",
      deadlineMs: startMs,
      intervalMs: 50,
      signal: either,
    });
    return await use(store);
  } catch (error) {
    signal.throwIfAborted();
    throw ended.signal.aborted ? ended.signal.reason : error;
  } finally {
    child.kill("SIGTERM");
    const late = setTimeout(() => child.kill("SIGKILL"), stopMs);
    await exited;
    clearTimeout(late);
    await rm(directory, { recursive: true, force: true });
  }
}
