import type { SnapshotStore } from "@k8sd/api-types";
import type { Command } from "commander";
import { CliError, failed } from "./cli-error.ts";
import type { CliDeps } from "./deps.ts";

/** Where an S3-compatible store is, as flags. Its secret comes from a file, so that no list of processes shows it. */
export interface StoreFlags {
  readonly url?: string;
  readonly bucket?: string;
  readonly prefix?: string;
  readonly region?: string;
  readonly credentials?: string;
  readonly ca?: string;
}

export function storeFlags(command: Command): Command {
  return command
    .option("--url <url>", "the address of the store, https://HOST[:PORT]")
    .option("--bucket <name>", "the bucket, which has to be there")
    .option("--prefix <prefix>", "what the names of objects begin with")
    .option("--region <region>", "the region that requests are signed for (default: us-east-1)")
    .option("--credentials <file>", "a file with aws_access_key_id and aws_secret_access_key, - for stdin")
    .option("--ca <file>", "the authority of the store's certificate, if the system does not know it");
}

/** Undefined: no flag names one. */
export async function storeOf(flags: StoreFlags, deps: CliDeps): Promise<SnapshotStore | undefined> {
  const { url, bucket, prefix, region, credentials, ca } = flags;
  if ([url, bucket, prefix, region, credentials, ca].every((value) => value === undefined)) return undefined;
  if (url === undefined || bucket === undefined || credentials === undefined) {
    throw new CliError("Error: a store needs --url, --bucket and --credentials.\n");
  }
  const { readText } = await import("./read-text.ts");
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
    url,
    bucket,
    prefix: prefix ?? "",
    region: region ?? "us-east-1",
    "access-key-id": credential("aws_access_key_id"),
    "secret-access-key": credential("aws_secret_access_key"),
    ca: ca === undefined ? "" : await read(ca),
  };
}
