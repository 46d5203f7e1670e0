import type { LocalNodeStatus } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failed } from "./cli-error.ts";
import type { Client } from "./client/client.ts";
import type { CliDeps } from "./deps.ts";
import { atLeastMinimum } from "./duration.ts";
import { type Output, parseOutputFormat, render } from "./format/output.ts";

/** The flags of most commands. */
export interface CommonOptions {
  /** Nanoseconds. */
  readonly timeout: number;
  readonly outputFormat?: string;
}

/** A command at work with the daemon of this machine, until its time is over. */
export interface DaemonSession {
  readonly client: Client;
  /** Nanoseconds: what the daemon is told. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  /** Runs an operation of the daemon, with its steps on stderr, to its result. @param body what it is asked for beside its time */
  follow<Q extends Timed, A>(path: string, body: Omit<Q, "timeout">): Promise<A>;
  print(output: Output): Promise<void>;
}

/** In a node that belongs to a cluster. */
export interface Session extends DaemonSession {
  readonly node: LocalNodeStatus;
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
  sessionOptions: SessionOptions = {},
): Promise<Session> {
  const session = await openDaemonSession(command, deps, options, sessionOptions);
  return { ...session, node: await requireLocalNode(session.client, session.signal) };
}

/** For a machine that may belong to no cluster. @throws CliError unless root asks */
export async function openDaemonSession(
  command: Command,
  deps: CliDeps,
  options: CommonOptions,
  { operation = false, patienceMs }: SessionOptions = {},
): Promise<DaemonSession> {
  requireRoot(deps);
  const format = parseOutputFormat(options.outputFormat ?? "plain");
  const timeout = atLeastMinimum(options.timeout, deps.printError);
  const client = await connect(command, deps, patienceMs);
  const { deadline, operationDeadline } = await import("./client/client.ts");
  const signal = operation ? operationDeadline(timeout) : deadline(timeout);
  return {
    client,
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

function stateDirectory(command: Command, deps: CliDeps): string {
  const { stateDir } = command.optsWithGlobals<{ stateDir?: string }>();
  if (stateDir) return stateDir;
  return `${deps.env.SNAP_COMMON || "/var/snap/k8s/common"}/var/lib/k8sd/state`;
}

/** Its modules are loaded here and not before: `k8s --help` needs no HTTP. */
export async function connect(command: Command, deps: CliDeps, patienceMs?: number): Promise<Client> {
  const { createClient } = await import("./client/client.ts");
  return createClient(`${stateDirectory(command, deps)}/control.socket`, patienceMs);
}

/** @throws CliError when this machine belongs to a cluster. */
export async function refuseMember(client: Client): Promise<void> {
  const { deadline, defaultDeadline } = await import("./client/client.ts");
  if ((await findLocalNode(client, deadline(defaultDeadline))) === undefined) return;
  throw new CliError("Error: The node is already part of a cluster\n");
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
