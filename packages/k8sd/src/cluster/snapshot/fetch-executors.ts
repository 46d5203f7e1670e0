import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { checkSnapshotFile } from "../../datastore/snapshot/file.ts";
import { createS3Store, type S3Store } from "../../datastore/snapshot/s3/client.ts";
import type { S3Options } from "../../datastore/snapshot/s3/request.ts";
import type { Host } from "../../host/host.ts";
import { conflictsError } from "../../host/preflight.ts";
import { AppError, errorText } from "../../lib/app-error.ts";
import { exists, namesIn, sizeIfThere } from "../../lib/read-file.ts";
import { ensureDirectory, syncDirectory } from "../../lib/write-file.ts";
import type { Executors, StepContext } from "../../operations/plan.ts";
import { type FetchInput, type FetchStep, partOf } from "./fetch-plan.ts";
import { pathOf } from "./folder.ts";

export interface FetchDeps {
  readonly host: Pick<Host, "paths" | "preflight">;
  readonly log: Logger;
  readonly now: () => number;
}

/** So that the node does not stand still for want of the last byte. */
const spareBytes = 64 * 1024 * 1024;

const inputOf = (context: StepContext): FetchInput => context.input as FetchInput;

export function createFetchExecutors(deps: FetchDeps): Executors<FetchStep> {
  const { host, log } = deps;
  const storeOf = ({ secret = "{}" }: StepContext): S3Store => createS3Store(JSON.parse(secret) as S3Options, deps);

  /** Where the content is by now. */
  async function placeOf(input: FetchInput): Promise<"there" | "part" | "none"> {
    if (await exists(pathOf(input))) return "there";
    return (await exists(partOf(input))) ? "part" : "none";
  }

  /** Of snapshots that nobody came back for. */
  async function removeOtherParts({ directory, name }: FetchInput): Promise<void> {
    if (directory !== host.paths.snapshots) return;
    const parts = (await namesIn(directory)).filter((each) => each.startsWith(".") && each.endsWith(".part"));
    for (const part of parts) if (part !== `.${name}.part`) await rm(join(directory, part), { force: true });
  }

  return {
    "find-snapshot": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const bytes = await storeOf(context).size(input.name, context.signal);
        await ensureDirectory(input.directory, 0o700);
        await removeOtherParts(input);
        if ((await placeOf(input)) === "there") return;
        const have = (await sizeIfThere(partOf(input))) ?? 0;
        const freeDisk = [{ path: input.directory, bytes: Math.max(bytes - have, 0) + spareBytes }];
        const conflicts = await host.preflight.system({ freeDisk }, context.signal);
        if (conflicts.length > 0) throw conflictsError("fetch a snapshot", conflicts);
      },
    },

    "fetch-content": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const { signal } = context;
        const before = await placeOf(input);
        if (before === "there") return;
        const [store, path] = [storeOf(context), partOf(input)];
        const tell = (done: number, of: number): void => context.progress({ done, of, note: "bytes" });
        await store.getFile(input.name, path, signal, tell);
        if (before === "none") return;
        try {
          await checkSnapshotFile(path, signal);
        } catch (error) {
          signal.throwIfAborted();
          // The two halves are not of one file.
          log.warn({ name: input.name, error: errorText(error) }, "Fetching a snapshot from its beginning");
          await rm(path, { force: true });
          await store.getFile(input.name, path, signal, tell);
        }
      },
    },

    "check-content": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const there = (await placeOf(input)) === "there";
        try {
          await checkSnapshotFile(there ? pathOf(input) : partOf(input), context.signal);
        } catch (error) {
          context.signal.throwIfAborted();
          if (!there) await rm(partOf(input), { force: true });
          const what = there ? `${pathOf(input)} is there already, and is damaged` : `${input.name} is damaged`;
          throw new AppError("invalid", `cannot fetch the snapshot: ${what}: ${errorText(error)}`, {
            cause: error,
            remedy: there ? "Delete that file, and fetch it again." : "Fetch another one.",
          });
        }
      },
    },

    "name-file": {
      run: async (_step, context) => {
        const input = inputOf(context);
        if ((await placeOf(input)) === "part") {
          await syncFile(partOf(input));
          await rename(partOf(input), pathOf(input));
          await syncDirectory(input.directory);
        }
        context.commit(() => {});
      },
    },
  };
}

/** Its name must not be on the disk before its content. */
async function syncFile(path: string): Promise<void> {
  const handle = await open(path, "r+");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
