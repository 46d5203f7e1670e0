import type { ClusterStatus, GetClusterStatusResponse } from "@k8sd/api-types";
import type { Command } from "commander";
import { failed } from "../cli-error.ts";
import type { Client } from "../client/client.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { durationFlag, subcommand } from "../usage.ts";

interface Options {
  readonly waitReady?: boolean;
  readonly outputFormat: string;
  readonly timeout: number;
}

const pollEveryMs = 1_000;

export function statusCommand(deps: CliDeps): Command {
  const command = subcommand("status", "Retrieve the current status of the cluster", deps)
    .option("--wait-ready", "wait until at least one cluster node is ready")
    .option("--output-format <format>", "set the output format to one of plain, json or yaml", "plain");
  durationFlag(command, "--timeout", "the max time to wait for the command to execute", "1m30s");
  return command.action(async (options: Options) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    // Who waits for a cluster waits for its daemon too: it may be about to start.
    const client = await connect(command, deps, options.waitReady ? timeout / 1e6 : undefined);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout);
    await requireLocalNode(client, signal);
    const status = await (options.waitReady ? waitReady(client, signal) : clusterStatus(client, signal)).catch(
      (error: unknown) => {
        throw failed("Failed to retrieve the cluster status.", error);
      },
    );
    const { clusterStatusOutput } = await import("../format/cluster-status.ts");
    deps.print(await render(clusterStatusOutput(status), format));
  });
}

async function clusterStatus(client: Client, signal: AbortSignal): Promise<ClusterStatus> {
  return (await client.query<GetClusterStatusResponse>("GET", "/k8sd/cluster", { signal })).status;
}

/** Until the deadline, whatever the daemon cannot answer yet; what the caller did wrong ends it at once. */
async function waitReady(client: Client, signal: AbortSignal): Promise<ClusterStatus> {
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
