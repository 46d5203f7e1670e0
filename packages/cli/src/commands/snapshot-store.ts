import type { SetSnapshotStoreRequest, SnapshotStoreStatus } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failing } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { type CommonOptions, openSession, requireRoot } from "../session.ts";
import { type StoreFlags, storeFlags, storeOf } from "../store-flags.ts";
import { outputFlag, subcommand, timeoutFlag } from "../usage.ts";

interface Options extends StoreFlags, CommonOptions {
  readonly off?: boolean;
}

export function storeCommand(deps: CliDeps): Command {
  const command = storeFlags(subcommand("store", "Show or change the S3-compatible store for snapshots", deps)).option(
    "--off",
    "use none any more; what is there stays",
  );
  outputFlag(command);
  timeoutFlag(command, "1m30s");
  return command.action(async (options: Options) => {
    requireRoot(deps);
    const change = await changeOf(options, deps);
    const { client, signal, print } = await openSession(command, deps, options);
    const path = "/k8sd/snapshots/store";
    if (change !== undefined) {
      await client
        .query("PUT", path, { body: change, signal })
        .catch(failing("Could not change the store of snapshots."));
    }
    const { store } = await client
      .query<SnapshotStoreStatus>("GET", path, { signal })
      .catch(failing("Could not read the store of snapshots."));
    const value = () => (store === undefined ? {} : { store });
    const plain =
      store === undefined
        ? "The cluster has no store for snapshots."
        : `Snapshots can go to s3://${store.bucket}/${store.prefix} at ${store.url}, region ${store.region}, with the access key ${store["access-key-id"]}.`;
    await print({ plain: () => plain, json: value, yaml: value });
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
