import { setTimeout as delay } from "node:timers/promises";
import { type KubeApi, listOfNamesOnly, namesOnly } from "./kube-api.ts";

interface Metadata {
  readonly name: string;
  readonly resourceVersion: string;
}

/** A cache that follows a collection as client-go's informers do: list, watch, resume where it was, list anew on 410. */
export interface Informer {
  /** Name to resource version. */
  readonly cache: ReadonlyMap<string, number>;
  /** Versions that came as events. */
  readonly seen: ReadonlySet<number>;
  /** What lists after the first one leapt over: after the first version, up to the second one. */
  readonly gaps: readonly (readonly [number, number])[];
  /** Broken promises, in words. */
  readonly faults: readonly string[];
  readonly counts: { readonly lists: number; readonly watches: number; readonly events: number };
  /** When the signal has ended it. */
  readonly done: Promise<void>;
}

const retryMs = 500;
/** One connection's life; short, so that resuming is what is tried. */
const timeoutSeconds = 45;

export function startInformer(name: string, api: KubeApi, path: string, signal: AbortSignal): Informer {
  const cache = new Map<string, number>();
  /** Also of what was deleted: an object that is made anew has a higher version than it had. */
  const highest = new Map<string, number>();
  const seen = new Set<number>();
  const gaps: [number, number][] = [];
  const faults: string[] = [];
  const counts = { lists: 0, watches: 0, events: 0 };
  let version = 0;

  async function list(): Promise<void> {
    const { status, body } = await api.call<{ metadata: Metadata; items: { metadata: Metadata }[] }>("GET", path, {
      accept: listOfNamesOnly,
    });
    if (status !== 200) throw new Error(`a list was answered by ${status}`);
    counts.lists++;
    const listed = Number(body.metadata.resourceVersion);
    if (listed < version) faults.push(`${name}: a list of ${listed} after version ${version}`);
    if (version > 0) gaps.push([version, listed]);
    version = listed;
    cache.clear();
    for (const { metadata } of body.items) {
      const found = Number(metadata.resourceVersion);
      const known = highest.get(metadata.name) ?? 0;
      if (found < known) faults.push(`${name}: ${metadata.name} went back from ${known} to ${found} in a list`);
      highest.set(metadata.name, found);
      cache.set(metadata.name, found);
    }
  }

  /** True: what was missed can only be had by a list. */
  async function watch(): Promise<boolean> {
    const query = `watch=true&allowWatchBookmarks=true&resourceVersion=${version}&timeoutSeconds=${timeoutSeconds}`;
    counts.watches++;
    for await (const line of api.lines(`${path}?${query}`, namesOnly, signal)) {
      const event = JSON.parse(line) as {
        type: string;
        object: { code?: number; message?: string; metadata: Metadata };
      };
      if (event.type === "ERROR") {
        if (event.object.code === 410) return true;
        throw new Error(`a watch was answered by ${event.object.code}: ${event.object.message}`);
      }
      take(event.type, event.object.metadata);
    }
    return false;
  }

  function take(type: string, metadata: Metadata): void {
    const at = Number(metadata.resourceVersion);
    if (type === "BOOKMARK") {
      if (at < version) faults.push(`${name}: a bookmark of ${at} after version ${version}`);
      version = Math.max(version, at);
      return;
    }
    counts.events++;
    if (at <= version) faults.push(`${name}: the event of ${at} after version ${version}`);
    const known = highest.get(metadata.name) ?? 0;
    if (at <= known) faults.push(`${name}: ${metadata.name} went from ${known} to ${at}`);
    if ((type === "ADDED") === cache.has(metadata.name)) faults.push(`${name}: ${type} of ${metadata.name} at ${at}`);
    highest.set(metadata.name, at);
    seen.add(at);
    version = at;
    if (type === "DELETED") cache.delete(metadata.name);
    else cache.set(metadata.name, at);
  }

  async function follow(): Promise<void> {
    let mustList = true;
    while (!signal.aborted) {
      try {
        if (mustList) await list();
        mustList = false;
        mustList = await watch();
      } catch {
        // The datastore is away, or the connection broke: again, from where it was.
        await delay(retryMs);
      }
    }
  }

  return { cache, seen, gaps, faults, counts, done: follow() };
}
