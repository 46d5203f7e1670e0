import type { NodeView } from "../../components/component.ts";
import { newK8sDatastore } from "../../components/k8s-datastore.ts";
import { openStore } from "../../datastore/migrate/store-access.ts";
import { keysFor } from "../../datastore/snapshot/key.ts";
import { loadSnapshot } from "../../datastore/snapshot/load.ts";
import type { Host } from "../../host/host.ts";
import type { StepContext } from "../../operations/plan.ts";
import { awaitService } from "../bootstrap/await-service.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { datastoreOptions } from "../connections.ts";
import { type TakeOver, takeOver } from "../ledger-restore.ts";
import { engineOf } from "../migrate/engines.ts";
import type { ManagedEngine } from "../migrate/plan.ts";
import { makeEtcdData } from "../migrate/target.ts";
import type { NodeKey } from "../node-key.ts";
import type { RestoreFacts } from "./restore-plan.ts";

export interface RestoreDataDeps {
  readonly host: Host;
  readonly nodeKey: NodeKey;
  /** Of what runs on this node. */
  readonly versions: (signal: AbortSignal) => Promise<Readonly<Record<string, string>>>;
  readonly now: () => number;
}

/** kube-apiservers that serve tell it here every few seconds; those of the snapshot may be gone for good. */
const apiServersPrefix = "/registry/masterleases/";

/** An engine that holds nothing, stopped; what it will hold has revisions above this one, and all below counts as compacted. */
export async function makeEmptyDatastore(
  { view, clusterId }: Pick<BootstrapInput, "view" | "clusterId">,
  { revision, recovery }: RestoreFacts,
  { services, ...host }: Host,
  signal: AbortSignal,
): Promise<void> {
  const engine = engineOf(view);
  if (view.datastore.engine === "etcd") {
    await makeEtcdData(view, { revision, token: `${clusterId}-${recovery.id}` }, { services, ...host }, signal);
  } else {
    const component = newK8sDatastore(revision);
    await services.apply(component.render(view).service, signal);
    await services.start(component.name, signal);
    await awaitService(component, view, services, signal);
    await services.stop(component.name, signal);
  }
  await services.apply(engine.render(view).service, signal);
}

/** @param key as the operator holds it */
export async function loadInto(view: NodeView, { path }: RestoreFacts, key: string, context: StepContext) {
  const { signal } = context;
  await using target = openStore(await datastoreOptions(view));
  const report = await loadSnapshot({
    path,
    unlock: (header) => keysFor(header.key, key),
    target,
    signal,
    trial: false,
    progress: (done, of) => context.progress({ done, of, note: "keys" }),
  });
  await target.data.txn({ success: [{ op: "delete", range: { prefix: apiServersPrefix } }] }, { signal });
  return report;
}

/** What was loaded becomes the data of a cluster with this node as its only control plane. */
export async function takeOverAs(
  { nodeId, view }: Pick<BootstrapInput, "nodeId" | "view">,
  { epoch, recovery, podSubnetIndex }: RestoreFacts,
  deps: RestoreDataDeps,
  signal: AbortSignal,
): Promise<void> {
  const order: TakeOver = {
    self: {
      id: nodeId,
      name: view.name,
      addresses: view.addresses,
      k8sdAddress: view.k8sdAddress,
      publicKeyFingerprint: deps.nodeKey.fingerprint,
      meshPeer: deps.nodeKey.meshPeer,
      versions: await deps.versions(signal),
    },
    podSubnetIndex,
    engine: view.datastore.engine as ManagedEngine,
    epoch,
    recovery,
    at: deps.now(),
  };
  await using store = openStore(await datastoreOptions(view));
  await takeOver(store.data, order, signal);
}
