import type { RestorePlan, RestorePlanRequest, RestoreRequest, RestoreResponse } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failed, failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { type CommonOptions, findLocalNode, openDaemonSession, requireRoot } from "../session.ts";
import { type StoreFlags, storeFlags, storeOf } from "../store-flags.ts";
import { outputFlag, subcommand, timeoutFlag } from "../usage.ts";

interface Options extends StoreFlags, CommonOptions {
  readonly store?: boolean;
  readonly keyFile?: string;
  readonly engine?: string;
  readonly name?: string;
  readonly address?: string;
  readonly yes?: boolean;
  readonly force?: boolean;
}

export function restoreCommand(deps: CliDeps): Command {
  const command = subcommand("restore", "Bring the cluster back from a snapshot", deps)
    .argument("<file>", "the snapshot, on this node; with --store or --url its name in the store")
    .option("--key-file <file>", "the file that 'k8s snapshot key' wrote, - for stdin")
    .option("--engine <engine>", "on a machine without a cluster: sqlite or etcd (default: as it was)")
    .option("--name <name>", "on a machine without a cluster: its name, defaults to hostname")
    .option("--address <address>", "on a machine without a cluster: its address or CIDR")
    .option("--yes", "do it without asking")
    .option("--force", "do it although other control planes answer")
    .option("--store", "fetch it from the cluster's store first");
  outputFlag(command);
  storeFlags(command);
  timeoutFlag(command, "15m");
  return command.action(async (file: string, options: Options) => {
    requireRoot(deps);
    const { yes = false, force = false } = options;
    const request = await requestOf(options, deps);
    const at = await storeOf(options, deps);
    const { client, signal, follow, print } = await openDaemonSession(command, deps, options, { operation: true });
    const member = (await findLocalNode(client, signal)) !== undefined;
    if (member && [options.engine, options.name, options.address].some((value) => value !== undefined)) {
      throw new CliError(
        "Error: --engine, --name and --address are for a machine without a cluster; this node keeps its own.\n",
      );
    }
    const fail = failing("Failed to restore the snapshot.");
    const { resolve } = await import("node:path");
    const { fetchSnapshot } = await import("./snapshot-fetch.ts");
    const stored = options.store === true || at !== undefined;
    const from = { name: file, directory: "", ...(at === undefined ? {} : { at }) };
    const path = stored ? (await fetchSnapshot(follow, from)).path : resolve(file);
    const body = { ...request, path, name: member ? "" : options.name || deps.hostname() };
    const plan = await client.query<RestorePlan>("POST", "/k8sd/snapshots/restore/plan", { body, signal }).catch(fail);
    const { restorePlanText, restoredOutput } = await import("../format/restore.ts");
    deps.printError(restorePlanText(plan));
    const { approve } = await import("../approve.ts");
    await approve(plan, { yes, force }, deps);
    const result = await follow<RestoreRequest, RestoreResponse>("/k8sd/snapshots/restore", { ...body, force }).catch(
      fail,
    );
    await print(restoredOutput(result, plan));
  });
}

async function requestOf(options: Options, deps: CliDeps): Promise<Omit<RestorePlanRequest, "name" | "path">> {
  const { keyFile, engine = "", address = "", credentials } = options;
  if (keyFile === undefined) throw new CliError("Error: --key-file must name the file with the snapshot's key.\n");
  if (keyFile === "-" && credentials === "-") {
    throw new CliError("Error: only one of --key-file and --credentials can come from stdin.\n");
  }
  if (engine === "external") {
    throw new CliError(
      "Error: a snapshot is restored into sqlite or etcd; 'k8s datastore migrate --to external --file FILE' moves the data on then.\n",
    );
  }
  if (engine !== "" && engine !== "sqlite" && engine !== "etcd") {
    throw new CliError("Error: --engine must be sqlite or etcd.\n");
  }
  const { readText } = await import("../read-text.ts");
  const key = await readText(keyFile, deps).catch((error: unknown) => {
    throw failed(`Could not read the key from ${keyFile}.`, error);
  });
  return { key, engine, address };
}
