import type { LocalNodeStatus } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failed } from "./cli-error.ts";
import type { Client } from "./client/client.ts";
import type { CliDeps } from "./deps.ts";

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
