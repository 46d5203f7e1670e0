import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { Paths } from "../../host/paths.ts";
import { AppError } from "../../lib/app-error.ts";
import type { SuppliedPki } from "../../pki/supplied.ts";
import { readClusterSecrets } from "../cluster-secrets.ts";
import type { Seal } from "../seal.ts";

const schema = z.object({
  version: z.literal(1),
  /** Authorities and keys that the whole cluster shares. */
  pki: z.record(z.string(), z.string()),
  /** Base64. */
  sealKey: z.string(),
});

/** What a cluster needs that is not in its datastore. */
export interface ClusterSecrets {
  readonly pki: SuppliedPki;
  /** Opens what is sealed in the datastore. Base64. */
  readonly sealKey: string;
}

export async function secretsToSave(paths: Paths, seal: Seal): Promise<ClusterSecrets> {
  const [pki, sealKey] = await Promise.all([readClusterSecrets(paths, seal), readFile(paths.sealKey)]);
  return { pki, sealKey: sealKey.toString("base64") };
}

export function encodeClusterSecrets({ pki, sealKey }: ClusterSecrets): string {
  return JSON.stringify({ version: 1, pki, sealKey });
}

export function decodeClusterSecrets(json: string): ClusterSecrets {
  const parsed = schema.safeParse(JSON.parse(json));
  if (parsed.success) return { pki: parsed.data.pki as SuppliedPki, sealKey: parsed.data.sealKey };
  throw new AppError("invalid", "cannot use the snapshot: its secrets are of another format", {
    cause: parsed.error,
    remedy: "Restore it with a version of k8sd that knows its format.",
  });
}
