import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { ComponentSpec, NodeView } from "../../components/component.ts";
import { hastyUnlessChosen } from "../../components/etcd.ts";
import { datastoreReady } from "../../components/k8s-datastore.ts";
import type { Host } from "../../host/host.ts";
import { writeFileAtomic } from "../../lib/write-file.ts";
import type { PemPair } from "../../pki/supplied.ts";
import { awaitService } from "../bootstrap/await-service.ts";
import { engineOf } from "./engines.ts";

const caOf = ({ paths }: Pick<Host, "paths">): string => join(paths.state, "migration-ca.crt");

/** The engine as it will run, but one that lets nobody in except who holds this one certificate. */
export function trialOf(view: NodeView, caFile: string, own: PemPair): ComponentSpec {
  const engine = engineOf(view);
  return {
    ...engine,
    render: (node) => {
      const rendered = engine.render(node);
      const { service } = rendered;
      // Writes pause meanwhile.
      const times = view.datastore.engine === "etcd" ? hastyUnlessChosen(service.args) : {};
      const args = { ...service.args, ...times, "--trusted-ca-file": caFile };
      return { ...rendered, service: { ...service, args } };
    },
    ready: (node, signal) => {
      const client = { cert: Buffer.from(own.certificate), key: Buffer.from(own.key) };
      return datastoreReady(engine.name, node, signal, client);
    },
  };
}

/**
 * Starts the engine at its address with its own arguments, sees it work, and stops it: what would keep it from starting there is
 * found while there is a way back. Nobody can write to it meanwhile.
 */
export async function tryEngine(view: NodeView, own: PemPair, host: Host, signal: AbortSignal): Promise<void> {
  const { services } = host;
  await writeFileAtomic({ path: caOf(host), content: own.certificate, mode: 0o600 });
  const trial = trialOf(view, caOf(host), own);
  await services.apply(trial.render(view).service, signal);
  await services.start(trial.name, signal);
  await awaitService(trial, view, services, signal);
  await endTrial(view, host, signal);
}

export async function endTrial(view: NodeView, host: Host, signal: AbortSignal): Promise<void> {
  await host.services.stop(engineOf(view).name, signal);
  await rm(caOf(host), { force: true });
}
