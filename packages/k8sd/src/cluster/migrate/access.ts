import { rm } from "node:fs/promises";
import type { Paths } from "../../host/paths.ts";
import { writeFileAtomic } from "../../lib/write-file.ts";
import { changeClusterSecrets } from "../cluster-secrets.ts";
import type { Seal } from "../seal.ts";

/** Where the server over a database finds its URL, with the password. */
export async function writeDatabaseUrl({ datastoreUrl }: Pick<Paths, "datastoreUrl">, url: string): Promise<void> {
  await writeFileAtomic({ path: datastoreUrl, content: url, mode: 0o600 });
}

export async function removeDatabaseUrl({ datastoreUrl }: Pick<Paths, "datastoreUrl">): Promise<void> {
  await rm(datastoreUrl, { force: true });
}

/**
 * Control planes that join are given what opens the database, as they are after a bootstrap on one.
 * @param url undefined: there is none any more
 */
export async function sealDatabaseUrl(
  paths: Pick<Paths, "clusterSecrets">,
  url: string | undefined,
  seal: Seal,
): Promise<void> {
  await changeClusterSecrets(paths, seal, ({ "datastore-url": _url, ...others }) =>
    url === undefined ? others : { ...others, "datastore-url": url },
  );
}
