import { access, mkdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { NodeView } from "../../components/component.ts";
import { etcdData, secludedEtcd } from "../../components/etcd.ts";
import { newK8sDatastore } from "../../components/k8s-datastore.ts";
import { restoreEtcd, revisionLeap } from "../../datastore/etcd-restore.ts";
import type { Host } from "../../host/host.ts";
import { AppError } from "../../lib/app-error.ts";
import { ensureDirectory } from "../../lib/write-file.ts";
import { awaitService } from "../bootstrap/await-service.ts";
import { etcdView, ownPeerUrl } from "../join/datastore-view.ts";
import { dataOf, engineOf, onPort, scratchOf, secludedEngineOf } from "./engines.ts";
import type { MigrateInput } from "./plan.ts";

/** Starts the empty engine on its own port. Its revision lies far above the source's, and all below counts as compacted. */
export async function startTarget(
  input: MigrateInput,
  sourceRevision: number,
  host: Host,
  signal: AbortSignal,
): Promise<void> {
  const { services } = host;
  const view = onPort(input.after.view, input.ports.target);
  const revision = sourceRevision + revisionLeap;
  for (const { path, mode } of engineOf(view).render(view).directories) await ensureDirectory(path, mode);
  if (view.datastore.engine === "etcd") {
    const token = `${input.clusterId}-${revision}-${input.ports.target}`;
    await makeEtcdData(view, { revision, token }, host, signal);
  }
  const component = view.datastore.engine === "etcd" ? secludedEngineOf(view) : newK8sDatastore(revision);
  await services.apply(component.render(view).service, signal);
  await services.start(component.name, signal);
  await awaitService(component, view, services, signal);
}

/** Only an etcd that ran once has a database, and only one that is restored can have another revision. */
export async function makeEtcdData(
  view: NodeView,
  { revision, token }: { readonly revision: number; readonly token: string },
  host: Host,
  signal: AbortSignal,
): Promise<void> {
  const { paths, services } = host;
  const scratch = scratchOf(paths);
  await rm(scratch, { recursive: true, force: true });
  await mkdir(scratch, { mode: 0o700 });
  const empty = join(scratch, "empty");
  const component = secludedEtcd(empty);
  const datastore = etcdView(view);
  const founding: NodeView = {
    ...view,
    datastore: { ...datastore, initialCluster: { ...datastore.initialCluster, state: "new" } },
  };
  await services.apply(component.render(founding).service, signal);
  await services.start(component.name, signal);
  await awaitService(component, founding, services, signal);
  await services.stop(component.name, signal);
  await restoreEtcd(host.run, {
    bin: paths.bin,
    from: join(empty, "member", "snap", "db"),
    to: etcdData(paths),
    name: view.name,
    peerUrl: ownPeerUrl(view, datastore),
    clusterToken: token,
    bump: revision,
    signal,
  });
  await rm(scratch, { recursive: true, force: true });
}

/** The engine that was set up, and all that it wrote. */
export async function removeTarget(input: MigrateInput, host: Host, signal: AbortSignal): Promise<void> {
  const { view } = input.after;
  await host.services.remove(engineOf(view).name, signal);
  await removeData(view, host);
}

export async function removeData({ datastore }: NodeView, { paths }: Pick<Host, "paths">): Promise<void> {
  const { engine } = datastore;
  if (engine === "external" || engine === "postgres") return;
  await rm(dataOf(paths, engine), { recursive: true, force: true });
  if (engine !== "etcd") return;
  await rm(scratchOf(paths), { recursive: true, force: true });
  await rmdir(paths.etcd).catch(() => {
    // Backups of a recovery lie there.
  });
}

/** What lies there is somebody's data. */
export async function refuseData({ datastore }: NodeView, { paths }: Pick<Host, "paths">): Promise<void> {
  const { engine } = datastore;
  const path = engine === "external" || engine === "postgres" ? "" : dataOf(paths, engine);
  const there = await access(path).then(
    () => true,
    () => false,
  );
  if (there) {
    throw new AppError("conflict", `cannot migrate the datastore: ${path} is there already`, {
      remedy: `Move ${path} away or delete it if nothing needs it.`,
    });
  }
}
