import { mkdir, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Logger } from "pino";
import { cleanAfter } from "../../components/cleanup.ts";
import { openStore } from "../../datastore/migrate/store-access.ts";
import { exists } from "../../lib/read-file.ts";
import { ensureDirectory, syncDirectory, writeFileAtomic } from "../../lib/write-file.ts";
import type { IdentityStore } from "../../node-db/identity.ts";
import type { Executors, StepContext } from "../../operations/plan.ts";
import type { SuppliedPki } from "../../pki/supplied.ts";
import { removeFiles } from "../bootstrap/files.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { writeCertificates } from "../bootstrap/write-certificates.ts";
import { datastoreOptions } from "../connections.ts";
import { dataOf, engineOf } from "../migrate/engines.ts";
import type { ManagedEngine } from "../migrate/plan.ts";
import { type MemberServicesDeps, memberServices } from "../recover/member-services.ts";
import type { Seal } from "../seal.ts";
import { createRing } from "../seal-key/ring.ts";
import { takeSavedKeys } from "../seal-key/saved-keys.ts";
import { loadInto, makeEmptyDatastore, type RestoreDataDeps, takeOverAs } from "./restore-data.ts";
import type { RebuildStep, RestoreInput, RestoreStep } from "./restore-plan.ts";

export interface RestoreExecutorsDeps extends RestoreDataDeps, MemberServicesDeps {
  readonly log: Logger;
  readonly identity: Pick<IdentityStore<BootstrapInput>, "commit">;
}

/** What a restore keeps beside the journal until it ends. */
export interface RestoreSecret {
  readonly key: string;
  /** Base64. */
  readonly sealKey: string;
}

export interface RebuildSecret extends RestoreSecret {
  readonly pki: SuppliedPki;
}

export function createRestoreExecutors(deps: RestoreExecutorsDeps): Executors<RestoreStep> {
  const { host, log } = deps;
  const { paths, services } = host;
  const { start, executors } = memberServices(deps);
  const inputOf = (context: StepContext): RestoreInput => context.input as RestoreInput;
  const secretOf = (context: StepContext): RestoreSecret => JSON.parse(context.secret ?? "{}") as RestoreSecret;
  const dataOfThis = ({ before }: RestoreInput): string => dataOf(paths, before.view.datastore.engine as ManagedEngine);

  return {
    ...executors,

    "set-aside": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const data = dataOfThis(input);
        await mkdir(dirname(input.backup), { recursive: true, mode: 0o700 });
        if (!(await exists(input.backup))) await rename(data, input.backup);
        await syncDirectory(dirname(data));
      },
      undo: async (_step, context) => {
        const input = inputOf(context);
        if (!(await exists(input.backup))) return;
        const data = dataOfThis(input);
        await rm(data, { recursive: true, force: true });
        await rename(input.backup, data);
      },
    },

    "start-empty": {
      run: async (_step, context) => {
        const { after, facts } = inputOf(context);
        const { directories } = engineOf(after.view).render(after.view);
        for (const { path, mode } of directories) await ensureDirectory(path, mode);
        await makeEmptyDatastore(after, facts, host, context.signal);
        await start(after.view, [engineOf(after.view).name], context);
      },
      undo: async (_step, context) => {
        const { view } = inputOf(context).before;
        const engine = engineOf(view);
        await services.stop(engine.name, context.signal);
        await services.apply(engine.render(view).service, context.signal);
      },
    },

    "load-snapshot": {
      run: async (_step, context) => {
        const { after, facts } = inputOf(context);
        const { keys, leases, hash, revision } = await loadInto(after.view, facts, secretOf(context).key, context);
        log.info({ keys, leases, hash, revision }, "The snapshot is loaded and equal");
      },
    },

    "take-over": {
      run: async (_step, context) => {
        const { after, facts } = inputOf(context);
        await using store = openStore(await datastoreOptions(after.view));
        const savedKeys = Buffer.from(secretOf(context).sealKey, "base64");
        await takeSavedKeys(createRing(paths), savedKeys, store.data, context.signal);
        await takeOverAs(after, facts, deps, context.signal);
      },
    },

    "begin-epoch": {
      run: async (_step, context) => {
        const { nodeId, clusterId, after } = inputOf(context);
        await syncDirectory(dirname(dataOfThis(inputOf(context))));
        context.commit(() => deps.identity.commit({ id: nodeId, clusterId, view: after }, deps.now()));
      },
    },
  };
}

export interface RebuildExecutorsDeps extends RestoreDataDeps {
  readonly log: Logger;
  readonly seal: () => Promise<Seal>;
}

/** They stand among the steps of a bootstrap. */
export function createRebuildExecutors(deps: RebuildExecutorsDeps): Executors<RebuildStep> {
  const { host, log } = deps;
  const { paths, services } = host;
  const inputOf = (context: StepContext): BootstrapInput => context.input as BootstrapInput;
  const secretOf = (context: StepContext): RebuildSecret => JSON.parse(context.secret ?? "{}") as RebuildSecret;

  return {
    "bring-certificates": {
      run: async (_step, context) => {
        const { pki, sealKey } = secretOf(context);
        // The first to come: what is sealed on this node is sealed with the cluster's key.
        await writeFileAtomic({ path: paths.sealKey, content: Buffer.from(sealKey, "base64"), mode: 0o600 });
        await writeCertificates(inputOf(context), pki, context, { ...deps, paths });
      },
      undo: async (_step, context) => {
        await removeFiles(context);
        await rm(paths.sealKey, { force: true });
      },
    },

    "make-datastore": {
      run: (step, context) => makeEmptyDatastore(inputOf(context), step.args.facts, host, context.signal),
      undo: async (_step, context) => {
        const { name } = engineOf(inputOf(context).view);
        await services.stop(name, context.signal);
        await cleanAfter(name, host, context.signal);
      },
    },

    "bring-data": {
      run: async (step, context) => {
        const input = inputOf(context);
        const { facts } = step.args;
        const { keys, leases, hash, revision } = await loadInto(input.view, facts, secretOf(context).key, context);
        log.info({ keys, leases, hash, revision }, "The snapshot is loaded and equal");
        await takeOverAs(input, facts, deps, context.signal);
      },
    },
  };
}
