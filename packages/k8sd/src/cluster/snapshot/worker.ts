import { rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { everything } from "../../datastore/migrate/batches.ts";
import { openStore } from "../../datastore/migrate/store-access.ts";
import { withScratchEngine } from "../../datastore/scratch-engine.ts";
import { type StoreView, withView } from "../../datastore/snapshot/content.ts";
import { writeSnapshotFile } from "../../datastore/snapshot/file.ts";
import { type FileKeys, keysForNew } from "../../datastore/snapshot/key.ts";
import { loadSnapshot } from "../../datastore/snapshot/load.ts";
import { errorToJson } from "../../operations/outcome.ts";
import type { PlainKeys, TryWork, WorkLine, WorkProgress, WorkResults, WriteWork } from "./work.ts";

/** Each line is a write of a pipe, and somebody reads it. */
const toldEveryMs = 200;

/** The process that `runWork` starts: does what the first line of its input says. @returns its exit code */
export async function runWorker(): Promise<number> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => stop.abort(new Error("it was stopped")));
  const tell = (line: WorkLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
  try {
    const work = await orderFrom(process.stdin, stop);
    const progress = seldom((said) => tell({ progress: said }));
    tell({
      result:
        work.kind === "write" ? await write(work, stop.signal, progress) : await tryIt(work, stop.signal, progress),
    });
    return 0;
  } catch (error) {
    tell({ error: errorToJson(error) });
    return 1;
  } finally {
    // Nothing else keeps it alive.
    process.stdin.destroy();
  }
}

/** Who gave it is gone when the input ends. */
async function orderFrom(input: NodeJS.ReadableStream, stop: AbortController): Promise<WriteWork | TryWork> {
  const { promise, resolve, reject } = Promise.withResolvers<WriteWork | TryWork>();
  const lines = createInterface({ input });
  lines.once("line", (line) => resolve(JSON.parse(line) as WriteWork | TryWork));
  lines.once("close", () => {
    stop.abort(new Error("nobody waits for it"));
    reject(new Error("nobody told what to do"));
  });
  return promise;
}

async function write(
  { datastore, prefixes, path, header, lock, secrets }: WriteWork,
  signal: AbortSignal,
  progress: (progress: WorkProgress) => void,
): Promise<WorkResults["write"]> {
  await using store = openStore(datastore);
  const writeView = async (view: StoreView): Promise<WorkResults["write"]> => {
    const { keys, hint } = keysForNew(lock);
    await rm(path, { force: true });
    const { revision, keys: count } = view;
    const records = async function* () {
      let done = 0;
      for await (const record of view.records(secrets)) {
        yield record;
        if (record.kind !== "key") continue;
        done += 1;
        progress({ done, of: count, note: `keys of revision ${revision}` });
      }
    };
    await writeSnapshotFile(path, { ...header, revision, keys: count, key: hint }, records(), keys, signal);
    return {
      keys: { header: keys.header.toString("base64"), content: keys.content.toString("base64") },
      revision,
      count,
    };
  };
  return await withView(store, signal, writeView, prefixes);
}

async function tryIt(
  { path, keys, argv, directory }: TryWork,
  signal: AbortSignal,
  progress: (progress: WorkProgress) => void,
): Promise<WorkResults["try"]> {
  const fileKeys = keysOf(keys);
  return await withScratchEngine({ argv, directory, signal }, async (target) => {
    const loaded = await loadSnapshot({
      path,
      unlock: () => fileKeys,
      target,
      signal,
      trial: true,
      progress: (done, of) => progress({ done, of, note: "keys" }),
    });
    const { count } = await target.data.range(everything, { countOnly: true, signal });
    return { keys: loaded.keys, hash: loaded.hash, count };
  });
}

function keysOf({ header, content }: PlainKeys): FileKeys {
  return { header: Buffer.from(header, "base64"), content: Buffer.from(content, "base64") };
}

/** The first, the last, and what lies between now and then. */
function seldom(tell: (progress: WorkProgress) => void): (progress: WorkProgress) => void {
  let told = 0;
  return (progress) => {
    const now = performance.now();
    if (now - told < toldEveryMs && progress.done < progress.of) return;
    told = now;
    tell(progress);
  };
}
