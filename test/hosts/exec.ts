import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from "node:child_process";

export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  readonly stdin?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Long enough for the slowest single command of a scenario, short enough that a hang is seen within the test's own limit. */
const defaultTimeoutMs = 120_000;

const maxOutputBytes = 32 * 1024 * 1024;

/**
 * Starts a program as the leader of its own process group, so that `killGroup` also reaches what runs in a host:
 * nsenter only waits for its child, and the child does not die with it.
 */
export function start(file: string, argv: readonly string[], options: Pick<ExecOptions, "env"> = {}) {
  const env = options.env === undefined ? process.env : { ...process.env, ...options.env };
  return spawn(file, argv, { detached: true, stdio: "pipe", env }) satisfies ChildProcessWithoutNullStreams;
}

export function killGroup(child: ChildProcess, signal: NodeJS.Signals = "SIGKILL"): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Runs a program to its end. A non-zero exit is a result; a missing program, a deadline and an abort are errors. */
export async function tryExec(file: string, argv: readonly string[], options: ExecOptions = {}): Promise<RunResult> {
  options.signal?.throwIfAborted();
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const child = start(file, argv, options);
  let failure: Error | undefined;
  const fail = (error: Error) => {
    failure ??= error;
    killGroup(child);
  };
  const collect = (stream: NodeJS.ReadableStream) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxOutputBytes) fail(new Error(`cannot run ${file}: it printed more than ${maxOutputBytes} bytes`));
      else chunks.push(chunk);
    });
    return () => Buffer.concat(chunks).toString("utf8");
  };
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  child.stdin.on("error", () => {}); // a program may end without reading its input
  child.stdin.end(options.stdin);
  const timer = setTimeout(
    () => fail(new Error(`cannot finish ${describe(file, argv)} within ${timeoutMs} ms\n${stdout()}${stderr()}`)),
    timeoutMs,
  );
  const onAbort = () => fail(new Error(`stopped ${describe(file, argv)}`, { cause: options.signal?.reason }));
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return await new Promise<RunResult>((resolve, reject) => {
      child.once("error", (error) => reject(new Error(`cannot run ${file}: ${error.message}`, { cause: error })));
      child.once("close", (code, signal) => {
        if (failure !== undefined) reject(failure);
        else resolve({ exitCode: code ?? (signal === null ? 1 : 128), stdout: stdout(), stderr: stderr() });
      });
    });
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", onAbort);
  }
}

/** Like tryExec, and a non-zero exit is an error that carries what the program printed. */
export async function exec(file: string, argv: readonly string[], options: ExecOptions = {}): Promise<RunResult> {
  return succeeded(describe(file, argv), await tryExec(file, argv, options));
}

export function succeeded(what: string, result: RunResult): RunResult {
  if (result.exitCode === 0) return result;
  throw new Error(`${what} ended with ${result.exitCode}\n${result.stdout}${result.stderr}`.trimEnd());
}

export function describe(file: string, argv: readonly string[]): string {
  return [file, ...argv].join(" ").slice(0, 300);
}
