import type { Paths } from "../../host/paths.ts";
import type { WantedFile } from "../../lib/write-file.ts";
import type { StepContext } from "../../operations/plan.ts";
import type { SuppliedPki } from "../../pki/supplied.ts";
import { sealClusterSecrets } from "../cluster-secrets.ts";
import type { NodeKey } from "../node-key.ts";
import { completeNodePki, kubeconfigFiles } from "../node-pki.ts";
import type { Seal } from "../seal.ts";
import { createFiles } from "./files.ts";
import type { BootstrapInput } from "./plan.ts";

export interface WriteCertificatesDeps {
  readonly paths: Paths;
  readonly nodeKey: NodeKey;
  readonly seal: () => Promise<Seal>;
  readonly now: () => number;
}

/** Completes what was supplied, and writes all of it; what the whole cluster shares is kept sealed on control planes. */
export async function writeCertificates(
  input: BootstrapInput,
  supplied: SuppliedPki,
  context: StepContext,
  deps: WriteCertificatesDeps,
): Promise<void> {
  const now = new Date(deps.now());
  const own = deps.nodeKey.certificate(input.view.name, now);
  const identity: SuppliedPki = { "server-crt": own.certificate, "server-key": own.key };
  const pki = completeNodePki(input, { ...supplied, ...identity }, now);
  const files: WantedFile[] = [...pki.files, ...kubeconfigFiles(input.view, pki)];
  if (input.view.role === "control-plane") {
    const content = sealClusterSecrets(pki.cluster, await deps.seal());
    files.push({ path: deps.paths.clusterSecrets, content, mode: 0o600 });
  }
  await createFiles(files, context);
}
