import type { SetSnapshotStoreRequest, SnapshotStoreStatus } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failed } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { type StoreFlags, storeFlags, storeOf } from "../store-flags.ts";
import { durationFlag, subcommand } from "../usage.ts";

interface Options extends StoreFlags {
  readonly off?: boolean;
  readonly outputFormat: string;
  readonly timeout: number;
}

export function storeCommand(deps: CliDeps): Command {
  const command = storeFlags(subcommand("store", "Show or change the S3-compatible store for snapshots", deps))
    .option("--off", "use none any more; what is there stays")
    .option("--output-format <format>", "set the output format to one of plain, json or yaml", "plain");
  durationFlag(command, "--timeout", "the max time to wait for the command to execute", "1m30s");
  return command.action(async (options: Options) => {
    requireRoot(deps);
    const format = parseOutputFormat(options.outputFormat);
    const timeout = atLeastMinimum(options.timeout, deps.printError);
    const change = await changeOf(options, deps);
    const client = await connect(command, deps);
    const { deadline } = await import("../client/client.ts");
    const signal = deadline(timeout);
    await requireLocalNode(client, signal);
    const path = "/k8sd/snapshots/store";
    if (change !== undefined) {
      await client.query("PUT", path, { body: change, signal }).catch((error: unknown) => {
        throw failed("Could not change the store of snapshots.", error);
      });
    }
    const { store } = await client.query<SnapshotStoreStatus>("GET", path, { signal }).catch((error: unknown) => {
      throw failed("Could not read the store of snapshots.", error);
    });
    const value = () => (store === undefined ? {} : { store });
    const plain =
      store === undefined
        ? "The cluster has no store for snapshots."
        : `Snapshots can go to s3://${store.bucket}/${store.prefix} at ${store.url}, region ${store.region}, with the access key ${store["access-key-id"]}.`;
    deps.print(await render({ plain: () => plain, json: value, yaml: value }, format));
  });
}

/** Undefined: it is only shown. */
async function changeOf(options: Options, deps: CliDeps): Promise<SetSnapshotStoreRequest | undefined> {
  const { off, url, bucket, prefix, region, credentials, ca } = options;
  if (!off) {
    const store = await storeOf(options, deps);
    return store && { store };
  }
  if ([url, bucket, prefix, region, credentials, ca].every((value) => value === undefined)) return {};
  throw new CliError("Error: --off goes with no other flag of the store.\n");
}
