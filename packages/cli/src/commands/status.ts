import type { ClusterStatus, GetClusterStatusResponse } from "@k8sd/api-types";
import type { Command } from "commander";
import { failing } from "../cli-error.ts";
import type { Client } from "../client/client.ts";
import type { CliDeps } from "../deps.ts";
import { type CommonOptions, openSession } from "../session.ts";
import { outputFlag, subcommand, timeoutFlag } from "../usage.ts";

interface Options extends CommonOptions {
  readonly waitReady?: boolean;
}

const pollEveryMs = 1_000;

export function statusCommand(deps: CliDeps): Command {
  const command = subcommand("status", "Retrieve the current status of the cluster", deps).option(
    "--wait-ready",
    "wait until at least one cluster node is ready",
  );
  outputFlag(command);
  timeoutFlag(command, "1m30s");
  return command.action(async ({ waitReady = false, ...options }: Options) => {
    // Who waits for a cluster waits for its daemon too: it may be about to start.
    const patience = waitReady ? { patienceMs: options.timeout / 1e6 } : {};
    const { client, signal, print } = await openSession(command, deps, options, patience);
    const status = await (waitReady ? readyStatus(client, signal) : clusterStatus(client, signal)).catch(
      failing("Failed to retrieve the cluster status."),
    );
    const { clusterStatusOutput } = await import("../format/cluster-status.ts");
    await print(clusterStatusOutput(status));
  });
}

async function clusterStatus(client: Client, signal: AbortSignal): Promise<ClusterStatus> {
  return (await client.query<GetClusterStatusResponse>("GET", "/k8sd/cluster", { signal })).status;
}

/** Until the deadline, whatever the daemon cannot answer yet; what the caller did wrong ends it at once. */
async function readyStatus(client: Client, signal: AbortSignal): Promise<ClusterStatus> {
  const { pause } = await import("../client/client.ts");
  const { QueryError } = await import("../client/errors.ts");
  let last = "";
  for (;;) {
    try {
      const status = await clusterStatus(client, signal);
      if (status.ready) return status;
      last = notReadyReasons(status);
      await pause(pollEveryMs, signal);
    } catch (error) {
      if (signal.aborted) throw new Error(`the cluster is not ready: ${last === "" ? signal.reason.message : last}`);
      if (error instanceof QueryError && error.code !== undefined && error.code < 500) throw error;
      last = error instanceof Error ? error.message : String(error);
      await pause(pollEveryMs, signal).catch(() => {
        // The next question finds the deadline passed and reports with the last reason.
      });
    }
  }
}

function notReadyReasons(status: ClusterStatus): string {
  const missing = (status.conditions ?? []).filter((condition) => !condition.ok);
  return missing.map(({ name, reason, message }) => `${name}: ${message || reason}`).join("; ");
}
