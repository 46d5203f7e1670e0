import { readFile } from "node:fs/promises";
import type { Paths } from "../host/paths.ts";
import { writeFileAtomic } from "../lib/write-file.ts";
import type { SuppliedPki } from "../pki/supplied.ts";
import type { Seal } from "./seal.ts";

type SecretsPath = Pick<Paths, "clusterSecrets">;
const context = "cluster-secrets";

/** What the whole cluster shares, as control planes that join are given it. */
export async function readClusterSecrets({ clusterSecrets }: SecretsPath, seal: Seal): Promise<SuppliedPki> {
  return JSON.parse(seal.open(await readFile(clusterSecrets, "utf8"), context)) as SuppliedPki;
}

/** As they are sent: what there is, and nothing that is empty. */
export function presentOf(pki: SuppliedPki): Record<string, string> {
  return Object.fromEntries(Object.entries(pki).filter((entry): entry is [string, string] => Boolean(entry[1])));
}

export const sealClusterSecrets = (secrets: SuppliedPki, seal: Seal): string =>
  seal.seal(JSON.stringify(secrets), context);

export const resealClusterSecrets = (sealed: string, seal: Seal): string =>
  seal.seal(seal.open(sealed, context), context);

export async function changeClusterSecrets(
  paths: SecretsPath,
  seal: Seal,
  change: (known: SuppliedPki) => SuppliedPki,
): Promise<void> {
  const content = sealClusterSecrets(change(await readClusterSecrets(paths, seal)), seal);
  await writeFileAtomic({ path: paths.clusterSecrets, content, mode: 0o600 });
}
