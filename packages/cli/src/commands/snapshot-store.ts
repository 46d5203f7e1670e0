import type { SetSnapshotStoreRequest, SnapshotStoreStatus } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failed } from "../cli-error.ts";
import type { CliDeps } from "../deps.ts";
import { atLeastMinimum } from "../duration.ts";
import { parseOutputFormat, render } from "../format/output.ts";
import { connect, requireLocalNode, requireRoot } from "../session.ts";
import { durationFlag, subcommand } from "../usage.ts";

interface Options {
  readonly url?: string;
  readonly bucket?: string;
  readonly prefix?: string;
  readonly region?: string;
  readonly credentials?: string;
  readonly ca?: string;
  readonly off?: boolean;
  readonly outputFormat: string;
  readonly timeout: number;
}

export function storeCommand(deps: CliDeps): Command {
  const command = subcommand("store", "Show or change the S3-compatible store for snapshots", deps)
    .option("--url <url>", "the address of the store, https://HOST[:PORT]")
    .option("--bucket <name>", "the bucket, which has to be there")
    .option("--prefix <prefix>", "what the names of objects begin with")
    .option("--region <region>", "the region that requests are signed for (default: us-east-1)")
    .option("--credentials <file>", "a file with aws_access_key_id and aws_secret_access_key, - for stdin")
    .option("--ca <file>", "the authority of the store's certificate, if the system does not know it")
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
  const { url, bucket, prefix, region, credentials, ca, off } = options;
  const given = [url, bucket, prefix, region, credentials, ca].some((value) => value !== undefined);
  if (off) {
    if (given) throw new CliError("Error: --off goes with no other flag of the store.\n");
    return {};
  }
  if (!given) return undefined;
  if (url === undefined || bucket === undefined || credentials === undefined) {
    throw new CliError("Error: a store needs --url, --bucket and --credentials.\n");
  }
  const { readText } = await import("../read-text.ts");
  const read = (path: string): Promise<string> =>
    readText(path, deps).catch((error: unknown) => {
      throw failed(`Could not read ${path}.`, error);
    });
  const text = await read(credentials);
  const credential = (name: string): string => {
    const found = new RegExp(`^\\s*${name}\\s*=\\s*(\\S+)\\s*$`, "m").exec(text)?.[1];
    if (found !== undefined) return found;
    throw new CliError(`Error: ${credentials} has no line "${name} = …".\n`);
  };
  return {
    store: {
      url,
      bucket,
      prefix: prefix ?? "",
      region: region ?? "us-east-1",
      "access-key-id": credential("aws_access_key_id"),
      "secret-access-key": credential("aws_secret_access_key"),
      ca: ca === undefined ? "" : await read(ca),
    },
  };
}
