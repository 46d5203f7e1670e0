import { cp, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Logger } from "pino";
import type { NodeView } from "../../components/component.ts";
import { etcd, recoveringEtcd } from "../../components/etcd.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import { confirmEtcdLog } from "../../datastore/etcd-log.ts";
import { restoreEtcd } from "../../datastore/etcd-restore.ts";
import { conflictsError } from "../../host/preflight.ts";
import { exists } from "../../lib/read-file.ts";
import type { IdentityStore } from "../../node-db/identity.ts";
import type { Executors, StepContext } from "../../operations/plan.ts";
import { awaitService } from "../bootstrap/await-service.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { joinDatastore } from "../join/datastore.ts";
import { etcdView, ownPeerUrl } from "../join/datastore-view.ts";
import { createLedger } from "../ledger.ts";
import { type MemberServicesDeps, memberServices } from "./member-services.ts";
import type { RecoverInput, RecoverStep, RejoinInput, RejoinStep } from "./plan.ts";

export interface RecoverDeps extends MemberServicesDeps {
  readonly log: Logger;
  readonly now: () => number;
  readonly identity: Pick<IdentityStore<BootstrapInput>, "commit">;
  /** A connection to the datastore of this very node; the caller closes it. */
  readonly connect: (view: NodeView) => Promise<Datastore>;
}

/** For the log of the copy while it is brought up to date. */
const spareBytes = 128 * 1024 * 1024;

async function sizeOf(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

export function createRecoverExecutors(deps: RecoverDeps): Executors<RecoverStep> {
  const { host } = deps;
  const { paths, services } = host;
  const { start, executors } = memberServices(deps);
  const data = join(paths.etcd, "data");
  const scratch = join(paths.etcd, "recovery");
  const copy = join(scratch, "copy");
  const rebuilt = join(scratch, "rebuilt");
  const inputOf = (context: StepContext): RecoverInput => context.input as RecoverInput;

  return {
    ...executors,

    "copy-data": {
      run: async (_step, { signal }) => {
        await rm(scratch, { recursive: true, force: true });
        const bytes = 2 * (await sizeOf(data)) + spareBytes;
        const conflicts = await host.preflight.system({ freeDisk: [{ path: paths.etcd, bytes }] }, signal);
        if (conflicts.length > 0) throw conflictsError("recover", conflicts);
        await mkdir(scratch, { mode: 0o700 });
        await cp(data, copy, { recursive: true, preserveTimestamps: true });
      },
      undo: () => rm(scratch, { recursive: true, force: true }),
    },

    "replay-log": {
      run: async (_step, context) => {
        const { view } = inputOf(context).before;
        await confirmEtcdLog(copy);
        const alone = recoveringEtcd(copy);
        await services.apply(alone.render(view).service, context.signal);
        await services.start(etcd.name, context.signal);
        await awaitService(alone, view, services, context.signal);
        // What it has applied is on the disk when it has ended.
        await services.stop(etcd.name, context.signal);
      },
      undo: async (_step, context) => {
        await services.stop(etcd.name, context.signal);
        await services.apply(etcd.render(inputOf(context).before.view).service, context.signal);
      },
    },

    "rebuild-data": {
      run: (_step, context) => {
        const { after, epoch, clusterId, recovery } = inputOf(context);
        return restoreEtcd(host.run, {
          bin: paths.bin,
          from: join(copy, "member", "snap", "db"),
          to: rebuilt,
          name: after.view.name,
          peerUrl: ownPeerUrl(after.view, etcdView(after.view)),
          clusterToken: `${clusterId}-${epoch}-${recovery.id}`,
          signal: context.signal,
        });
      },
      undo: () => rm(rebuilt, { recursive: true, force: true }),
    },

    "begin-epoch": {
      run: async (_step, context) => {
        const { nodeId, clusterId, after } = inputOf(context);
        context.commit(() => deps.identity.commit({ id: nodeId, clusterId, view: after }, deps.now()));
      },
    },

    "put-in-place": {
      run: async (_step, context) => {
        const { backup } = inputOf(context);
        if (await exists(rebuilt)) {
          await mkdir(dirname(backup), { recursive: true, mode: 0o700 });
          if (!(await exists(backup))) await rename(data, backup);
          await rename(rebuilt, data);
        }
        await rm(scratch, { recursive: true, force: true });
      },
    },

    "start-datastore": {
      run: async (_step, context) => {
        const { view } = inputOf(context).after;
        await services.apply(etcd.render(view).service, context.signal);
        await start(view, [etcd.name], context);
      },
    },

    "record-epoch": {
      run: async (_step, context) => {
        const { after, epoch, recovery } = inputOf(context);
        await using datastore = await deps.connect(after.view);
        await createLedger(datastore).beginEpoch(epoch, recovery, context.signal);
      },
    },
  };
}

export function createRejoinExecutors(deps: Omit<RecoverDeps, "connect">): Executors<RejoinStep> {
  const { host, log } = deps;
  const { paths, services } = host;
  const { executors } = memberServices(deps);
  const data = join(paths.etcd, "data");
  const inputOf = (context: StepContext): RejoinInput => context.input as RejoinInput;

  return {
    ...executors,

    yield: {
      run: async (_step, context) => {
        const { nodeId, clusterId, after } = inputOf(context);
        log.warn(
          { epoch: after.epoch },
          "The cluster was recovered without this node; it takes over the cluster's data",
        );
        context.commit(() => deps.identity.commit({ id: nodeId, clusterId, view: after }, deps.now()));
      },
    },

    "set-aside": {
      run: async (_step, context) => {
        const { backup } = inputOf(context);
        await mkdir(dirname(backup), { recursive: true, mode: 0o700 });
        if ((await exists(data)) && !(await exists(backup))) await rename(data, backup);
      },
    },

    "join-datastore": {
      run: async (_step, context) => {
        // Of an attempt that was killed: what it confirmed to the others as a member is forgotten with its membership.
        await services.stop(etcd.name, context.signal);
        await rm(data, { recursive: true, force: true });
        const { view } = inputOf(context).after;
        await joinDatastore(view, context, { services, log });
        await awaitService(etcd, view, services, context.signal);
      },
    },
  };
}
