import type { LocalNodeStatus } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failed } from "./cli-error.ts";
import type { Client } from "./client/client.ts";
import type { CliDeps } from "./deps.ts";
import { atLeastMinimum, second } from "./duration.ts";
import { type Output, parseOutputFormat, render } from "./format/output.ts";

/** So that the daemon, which has the timeout itself, is the one to report that it passed. */
const graceNs = 30 * second;

/** The flags of most commands. */
export interface CommonOptions {
  /** Nanoseconds. */
  readonly timeout: number;
  readonly outputFormat?: string;
}

/** A command at work on the cluster of this node, until its time is over. */
export interface Session {
  readonly client: Client;
  readonly node: LocalNodeStatus;
  /** Nanoseconds: what the daemon is told. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  /** Runs an operation of the daemon, with its steps on stderr, to its result. @param body what it is asked for beside its time */
  follow<Q extends Timed, A>(path: string, body: Omit<Q, "timeout">): Promise<A>;
  print(output: Output): Promise<void>;
}

interface Timed {
  readonly timeout: number;
}

export interface SessionOptions {
  /** The daemon has the timeout itself. */
  readonly operation?: boolean;
  /** How long to wait for a daemon that does not run. */
  readonly patienceMs?: number;
}

/** @throws CliError unless root asks, in a node that belongs to a cluster. */
export async function openSession(
  command: Command,
  deps: CliDeps,
  options: CommonOptions,
  { operation = false, patienceMs }: SessionOptions = {},
): Promise<Session> {
  requireRoot(deps);
  const format = parseOutputFormat(options.outputFormat ?? "plain");
  const timeout = atLeastMinimum(options.timeout, deps.printError);
  const client = await connect(command, deps, patienceMs);
  const { deadline } = await import("./client/client.ts");
  const signal = deadline(operation ? timeout + graceNs : timeout);
  const node = await requireLocalNode(client, signal);
  return {
    client,
    node,
    timeout,
    signal,
    follow: async <Q extends Timed, A>(path: string, body: Omit<Q, "timeout">) => {
      const { followOperation } = await import("./follow.ts");
      return followOperation<A>(client, { path, body: { ...body, timeout }, signal }, deps);
    },
    print: async (output) => deps.print(await render(output, format)),
  };
}

export function requireRoot(deps: CliDeps): void {
  if (deps.uid() !== 0)
    throw new CliError("You do not have enough permissions. Please re-run the command with sudo.\n");
}

export function stateDirectory(command: Command, deps: CliDeps): string {
  const { stateDir } = command.optsWithGlobals<{ stateDir?: string }>();
  if (stateDir) return stateDir;
  return `${deps.env.SNAP_COMMON || "/var/snap/k8s/common"}/var/lib/k8sd/state`;
}

/** Its modules are loaded here and not before: `k8s --help` needs no HTTP. */
export async function connect(command: Command, deps: CliDeps, patienceMs?: number): Promise<Client> {
  const { createClient } = await import("./client/client.ts");
  return createClient(`${stateDirectory(command, deps)}/control.socket`, patienceMs);
}

/** The local node; undefined while it belongs to no cluster. */
export async function findLocalNode(client: Client, signal: AbortSignal): Promise<LocalNodeStatus | undefined> {
  const { QueryError, UnreachableError, isStarting } = await import("./client/errors.ts");
  try {
    return await client.query<LocalNodeStatus>("GET", "/k8sd/node", { signal });
  } catch (error) {
    if (!(error instanceof QueryError)) throw error;
    if (error.cause instanceof UnreachableError) {
      throw failed("Failed to create a k8sd client. Make sure that the k8sd service is running.", error.cause);
    }
    if (error.code === 503 && !isStarting(error.cause)) return undefined;
    throw failed("Failed to check the current node status.", error);
  }
}

export async function requireLocalNode(client: Client, signal: AbortSignal): Promise<LocalNodeStatus> {
  const node = await findLocalNode(client, signal);
  if (node !== undefined) return node;
  throw new CliError(
    "Error: The node is not part of a Kubernetes cluster. You can bootstrap a new cluster with:\n\n  sudo k8s bootstrap\n",
  );
}
