import { mkdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import type { NodeView } from "../../components/component.ts";
import { etcdData, secludedEtcd } from "../../components/etcd.ts";
import { dropDatabase, newDatabaseProblems } from "../../datastore/check-postgres.ts";
import { restoreEtcd, revisionLeap } from "../../datastore/etcd-restore.ts";
import type { Host } from "../../host/host.ts";
import { conflictsError } from "../../host/preflight.ts";
import { AppError } from "../../lib/app-error.ts";
import { namesIn } from "../../lib/read-file.ts";
import { ensureDirectory } from "../../lib/write-file.ts";
import { awaitService } from "../bootstrap/await-service.ts";
import { etcdView, ownPeerUrl } from "../join/datastore-view.ts";
import { removeDatabaseUrl, writeDatabaseUrl } from "./access.ts";
import { dataOf, engineOf, onPort, scratchOf, targetOf } from "./engines.ts";
import { type MigrateInput, movesIn } from "./plan.ts";

/**
 * More than others can write to the same etcd meanwhile, and little enough that a way back to it can raise its revision by writes.
 */
const leapFromTheirs = 250_000;

/**
 * Starts the empty engine on its own port. Its revision lies far above the source's, and all below counts as compacted.
 * @param url of the database that gets the data
 */
export async function startTarget(
  input: MigrateInput,
  { sourceRevision, url }: { readonly sourceRevision: number; readonly url: string | undefined },
  host: Host,
  signal: AbortSignal,
): Promise<void> {
  const { services } = host;
  const view = onPort(input.after.view, input.ports.target);
  const revision = sourceRevision + (movesIn(input) ? leapFromTheirs : revisionLeap);
  for (const { path, mode } of engineOf(view).render(view).directories) await ensureDirectory(path, mode);
  if (url !== undefined) await writeDatabaseUrl(host.paths, url);
  if (view.datastore.engine === "etcd") {
    const token = `${input.clusterId}-${revision}-${input.ports.target}`;
    await makeEtcdData(view, { revision, token }, host, signal);
  }
  const component = targetOf(input, revision);
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

/** The engine that was set up, and all that it wrote on this node. */
export async function removeTarget(input: MigrateInput, host: Host, signal: AbortSignal): Promise<void> {
  await host.services.remove(targetOf(input).name, signal);
  await removeData(input.after.view, host);
}

/** What lies on this node. What a database holds is its owner's. */
export async function removeData({ datastore }: NodeView, { paths }: Pick<Host, "paths">): Promise<void> {
  const { engine } = datastore;
  if (engine === "external") return;
  if (engine === "postgres") return removeDatabaseUrl(paths);
  await rm(dataOf(paths, engine), { recursive: true, force: true });
  if (engine !== "etcd") return;
  await rm(scratchOf(paths), { recursive: true, force: true });
  await rmdir(paths.etcd).catch(() => {
    // Backups of a recovery lie there.
  });
}

/** A database that is away cannot hold up the cluster; the next migration to it says what is there. */
export async function clearDatabase(url: string, signal: AbortSignal, log: Logger): Promise<void> {
  await dropDatabase(url, signal).catch((error: unknown) => {
    log.warn({ err: error }, "Could not take back the schema k8s_datastore in the database");
  });
}

/** What lies there is somebody's data. */
export async function refuseData(
  { datastore }: NodeView,
  url: string | undefined,
  { paths }: Pick<Host, "paths">,
  signal: AbortSignal,
): Promise<void> {
  const { engine } = datastore;
  if (url !== undefined) {
    const problems = await newDatabaseProblems(url, signal);
    if (problems.length > 0) throw conflictsError("migrate the datastore", problems);
  }
  if (engine !== "sqlite" && engine !== "etcd") return;
  const path = dataOf(paths, engine);
  // A server over a database has an empty folder there.
  if ((await namesIn(path)).length > 0) {
    throw new AppError("conflict", `cannot migrate the datastore: ${path} is there already`, {
      remedy: `Move ${path} away or delete it if nothing needs it.`,
    });
  }
}
