import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { EtcdClientOptions } from "../../datastore/channel.ts";
import type { SnapshotHeader } from "../../datastore/snapshot/header.ts";
import type { FileKeys } from "../../datastore/snapshot/key.ts";
import { AppError } from "../../lib/app-error.ts";
import { errorFromJson } from "../../operations/outcome.ts";

/** How a datastore is reached, as text. */
export interface PlainConnection {
  readonly endpoints: readonly string[];
  readonly tls: Readonly<Record<string, string>>;
}

/** Base64. */
export type PlainKeys = Readonly<Record<keyof FileKeys, string>>;

export interface WriteWork {
  readonly kind: "write";
  readonly datastore: PlainConnection;
  /** Of the file; what is there of an earlier attempt goes. */
  readonly path: string;
  /** All that is known before the datastore is looked at. */
  readonly header: Omit<SnapshotHeader, "key" | "revision" | "keys">;
  /** Absent: all of the datastore is the cluster's. */
  readonly prefixes?: readonly string[];
  readonly lock: string;
  /** JSON. */
  readonly secrets: string;
}

export interface TryWork {
  readonly kind: "try";
  readonly path: string;
  readonly keys: PlainKeys;
  /** k8s-datastore. */
  readonly argv: readonly string[];
  readonly directory: string;
}

export interface WorkResults {
  readonly write: { readonly keys: PlainKeys; readonly revision: number; readonly count: number };
  readonly try: { readonly keys: number; readonly count: number; readonly hash: string };
}

export interface WorkProgress {
  readonly done: number;
  readonly of: number;
  readonly note: string;
}

/** A line of what the process says. */
export type WorkLine =
  | { readonly progress: WorkProgress }
  | { readonly result: WorkResults[keyof WorkResults] }
  /** As the journal keeps errors. */
  | { readonly error: string };

export interface WorkOptions {
  /** The program that does it: k8sd itself, by another name. */
  readonly argv: readonly string[];
  readonly signal: AbortSignal;
  readonly progress: (progress: WorkProgress) => void;
}

/** It closes a file and stops an engine; whoever does not come to that is not waited for. */
const stopMs = 15_000;
/** Enough for a reason. */
const keptOutput = 2_000;

export function plainConnection({ endpoints, tls = {} }: EtcdClientOptions): PlainConnection {
  return { endpoints, tls: Object.fromEntries(Object.entries(tls).map(([name, text]) => [name, String(text)])) };
}

/**
 * Has it done by a process of its own: reading, compressing and comparing all of a datastore takes memory that k8sd, which lives
 * for months, would not give back. The order goes over standard input, whose end tells the process that nobody waits for it.
 */
export async function runWork<W extends WriteWork | TryWork>(
  work: W,
  { argv, signal, progress }: WorkOptions,
): Promise<WorkResults[W["kind"]]> {
  signal.throwIfAborted();
  const [program = "", ...args] = argv;
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
  let output = "";
  child.stderr.on("data", (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-keptOutput);
  });
  // Its own end says more than a broken pipe.
  child.stdin.on("error", () => {});
  child.stdin.write(`${JSON.stringify(work)}\n`);
  const ended: { result?: WorkResults[W["kind"]]; error?: AppError } = {};
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => {
    const said = JSON.parse(line) as WorkLine;
    if ("progress" in said) progress(said.progress);
    else if ("error" in said) ended.error = errorFromJson(said.error);
    else ended.result = said.result as WorkResults[W["kind"]];
  });
  let late: NodeJS.Timeout | undefined;
  const stop = (): void => {
    child.kill("SIGTERM");
    late ??= setTimeout(() => child.kill("SIGKILL"), stopMs);
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    // With all that it said read.
    const [code, by] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
    signal.throwIfAborted();
    if (ended.error !== undefined) throw ended.error;
    if (ended.result !== undefined && code === 0) return ended.result;
    throw crashed(by ?? `exit code ${code}`, output);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof AppError ? error : crashed("it does not start", output, error);
  } finally {
    signal.removeEventListener("abort", stop);
    clearTimeout(late);
    lines.close();
  }
}

function crashed(how: string, output: string, cause?: unknown): AppError {
  const said = output.trim().split("\n").slice(-3).join(" ");
  const text = `cannot save a snapshot: the process that works on it ended (${how})${said === "" ? "" : `: ${said}`}`;
  const remedy =
    how === "SIGKILL"
      ? "Look in the kernel's log whether memory ran out on this node, and try again."
      : "Try again, and look at the log of k8sd.";
  return new AppError("unavailable", text, { cause, remedy });
}
