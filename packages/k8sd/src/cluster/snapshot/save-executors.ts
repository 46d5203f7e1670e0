import { readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { datastoreKind } from "../../components/datastore-kind.ts";
import { neededPrefixes } from "../../datastore/check-external.ts";
import { openStore, type StoreAccess } from "../../datastore/migrate/store-access.ts";
import { createS3Store } from "../../datastore/snapshot/s3/client.ts";
import type { S3Options } from "../../datastore/snapshot/s3/request.ts";
import { ifTold } from "../../datastore/told.ts";
import type { Host } from "../../host/host.ts";
import { conflictsError } from "../../host/preflight.ts";
import { AppError, errorText } from "../../lib/app-error.ts";
import { ensureDirectory, syncDirectory } from "../../lib/write-file.ts";
import type { IdentityStore, NodeIdentity } from "../../node-db/identity.ts";
import type { Executors, StepContext } from "../../operations/plan.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { datastoreOptions } from "../connections.ts";
import { createRecords } from "../records.ts";
import type { Seal } from "../seal.ts";
import { outdated, pathOf, snapshotsIn, snapshotsInStore, storePath } from "./folder.ts";
import type { SaveInput, SaveStep } from "./save-plan.ts";
import { encodeClusterSecrets, secretsToSave } from "./secrets.ts";
import { createSnapshotSettings, type SnapshotSettings, withoutKey, withoutStore } from "./settings.ts";
import { type PlainKeys, plainConnection, runWork, type WorkOptions } from "./work.ts";

export interface SaveDeps {
  readonly host: Host;
  readonly log: Logger;
  readonly identity: Pick<IdentityStore<BootstrapInput>, "read">;
  readonly seal: () => Promise<Seal>;
  /** The program that reads and tries the datastore in a process of its own. */
  readonly worker: readonly string[];
  /** Of what runs on this node. */
  readonly versions: (signal: AbortSignal) => Promise<Readonly<Record<string, string>>>;
  readonly now: () => number;
}

/** Beside the datastore's own size: headers, a log of the trial. */
const spareBytes = 64 * 1024 * 1024;

/** One key for each file, so that whoever takes a save back finds what a killed one left. */
const temporaryOf = ({ directory, name }: SaveInput): string => join(directory, `.${name}.tmp`);
const inputOf = (context: StepContext): SaveInput => context.input as SaveInput;

export function createSaveExecutors(deps: SaveDeps): Executors<SaveStep> {
  const { host, log } = deps;
  const { paths } = host;
  const scratch = join(paths.state, "snapshot-trial");
  /** Of the file that is not yet tried: only its maker can open it without the operator's key. */
  let made: { readonly id: string; readonly keys: PlainKeys } | undefined;

  function member(): NodeIdentity<BootstrapInput> {
    const self = deps.identity.read();
    if (self !== undefined) return self;
    throw new AppError("not-initialised", "cannot save a snapshot: the node is not part of a cluster");
  }

  const open = async (): Promise<StoreAccess> => openStore(await datastoreOptions(member().view.view));

  async function withSettings<T>(use: (settings: SnapshotSettings) => Promise<T>): Promise<T> {
    await using store = await open();
    return await use(createSnapshotSettings(createRecords(store.data), await deps.seal()));
  }

  async function storeOptions(signal: AbortSignal): Promise<S3Options> {
    const options = await withSettings((settings) => settings.store(signal));
    if (options === undefined) throw withoutStore();
    return options;
  }

  const workOptions = (context: StepContext): WorkOptions => ({
    argv: deps.worker,
    signal: context.signal,
    progress: context.progress,
  });

  const removeTemporary = (input: SaveInput): Promise<void> => rm(temporaryOf(input), { force: true });

  return {
    "look-for-room": {
      run: async (_step, context) => {
        const { directory } = inputOf(context);
        await ensureDirectory(directory, 0o700);
        await using store = await open();
        const { dbSize = 0 } = (await ifTold(store.data.status({ signal: context.signal }))) ?? {};
        // A file is never larger than what it is of; a trial is a second datastore.
        const freeDisk = [
          { path: directory, bytes: dbSize + spareBytes },
          { path: paths.state, bytes: 2 * dbSize + spareBytes },
        ];
        const conflicts = await host.preflight.system({ freeDisk }, context.signal);
        if (conflicts.length > 0) throw conflictsError("save a snapshot", conflicts);
      },
    },

    "write-snapshot": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const { signal } = context;
        const { view: self, clusterId } = member();
        const seal = await deps.seal();
        const own = await secretsToSave(paths, seal);
        const secrets = encodeClusterSecrets(own);
        const versions = await deps.versions(signal);
        const lock = await withSettings((settings) => settings.lock(signal));
        if (lock === undefined) throw withoutKey();
        const header = {
          id: input.id,
          cluster: { id: clusterId, epoch: self.epoch ?? 1 },
          node: self.view.name,
          engine: datastoreKind(self.view.datastore),
          createdAt: input.createdAt,
          versions: { ...versions },
        };
        const datastore = plainConnection(await datastoreOptions(self.view));
        // Others may keep theirs there, and what the cluster is granted is its own keys.
        const prefixes = self.view.datastore.engine === "external" ? { prefixes: neededPrefixes } : {};
        const path = temporaryOf(input);
        const work = { kind: "write", datastore, ...prefixes, path, header, lock, secrets } as const;
        const { keys, count, revision } = await runWork(work, workOptions(context));
        // What a new key sealed meanwhile would open for nobody.
        if ((await readFile(paths.sealKey)).toString("base64") !== own.sealKey) {
          throw new AppError("unavailable", "cannot save a snapshot: the key of the seal changed meanwhile", {
            remedy: "Try again in a moment.",
          });
        }
        context.progress({ done: count, of: count, note: `keys of revision ${revision}` });
        made = { id: input.id, keys };
      },
      undo: (_step, context) => removeTemporary(inputOf(context)),
    },

    "try-restore": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const current = made;
        if (current?.id !== input.id) throw new Error("the snapshot that is to be tried was not made by this process");
        const argv = [join(paths.bin, "k8s-datastore")];
        const work = { kind: "try", path: temporaryOf(input), keys: current.keys, argv, directory: scratch } as const;
        const { hash, keys, count } = await runWork(work, workOptions(context));
        log.info({ keys, count, hash }, "The snapshot was restored on trial and is equal");
        made = undefined;
      },
      undo: async () => {
        made = undefined;
        await rm(scratch, { recursive: true, force: true });
      },
    },

    upload: {
      run: async (_step, context) => {
        const input = inputOf(context);
        const options = await storeOptions(context.signal);
        const store = createS3Store(options, deps);
        const { signal } = context;
        const [path, note] = [temporaryOf(input), storePath(options, input.name)];
        await store.putFile(input.name, path, signal, (done, of) => context.progress({ done, of, note }));
        const { size } = await stat(path);
        const kept = await store.size(input.name, signal);
        if (kept === size) return;
        throw new AppError("unavailable", `cannot upload the snapshot: the store keeps ${kept} of ${size} bytes`, {
          remedy: "Try again, or save it to a directory.",
        });
      },
      undo: async (_step, context) => {
        const input = inputOf(context);
        try {
          const options = await storeOptions(context.signal);
          await createS3Store(options, deps).discard(input.name, context.signal);
        } catch (error) {
          context.signal.throwIfAborted();
          // What was uploaded is a whole snapshot, which was tried; nobody has to wait for the store to forget it.
          log.warn({ name: input.name, error: errorText(error) }, "Cannot take a snapshot out of the store");
        }
      },
    },

    "put-in-place": {
      run: async (_step, context) => {
        const input = inputOf(context);
        if (input.store) {
          context.commit(() => {});
          await removeTemporary(input);
          return;
        }
        await rename(temporaryOf(input), pathOf(input));
        await syncDirectory(input.directory);
        context.commit(() => {});
      },
      undo: (_step, context) => rm(pathOf(inputOf(context)), { force: true }),
    },

    "remove-outdated": {
      run: async (_step, context) => {
        const { directory, keep, store } = inputOf(context);
        if (keep === 0) return;
        try {
          const { clusterId } = member();
          if (store) {
            const options = await storeOptions(context.signal);
            const all = await snapshotsInStore(options, deps.now, context.signal);
            const kept = createS3Store(options, deps);
            for (const { name } of outdated(all, { clusterId, keep })) await kept.remove(name, context.signal);
            return;
          }
          for (const { path } of outdated(await snapshotsIn(directory), { clusterId, keep })) await rm(path);
        } catch (error) {
          // The snapshot is made; the next one tries it again.
          log.warn({ directory, error: errorText(error) }, "Cannot remove outdated snapshots");
        }
      },
    },
  };
}
