import { setTimeout as delay } from "node:timers/promises";
import { expect, vi } from "vitest";
import { createRandom } from "../../datastore/differential/program.ts";
import { bytes, defaults, etcdCalls, text } from "../../datastore/support/etcd-calls.ts";
import { openConnection } from "../../datastore/support/grpc-client.ts";
import type { Engine } from "./engines.ts";
import { type Informer, startInformer } from "./informer.ts";
import { type KubeApi, listOfNamesOnly } from "./kube-api.ts";
import { startWriter, type Writes } from "./writer.ts";

export interface LoadOptions {
  readonly objects: number;
  readonly watchers: number;
  readonly seed: number;
  /** Between the changes of a writer. */
  readonly pauseMs: number;
  /** What happens under load. */
  readonly during: (load: { readonly writes: () => number }) => Promise<void>;
}

export interface LoadResult {
  readonly faults: readonly string[];
  readonly figures: Readonly<Record<string, number>> &
    Readonly<Record<"events" | "relists" | "watchers" | MemoryFigure, number>>;
}

type MemoryFigure = "residentEarly" | "residentLate" | "residentMost";

const path = "/api/v1/namespaces/default/configmaps";
export const storedPrefix = "/registry/configmaps/default/";
export const storedEnd = bytes("/registry/configmaps/default0");
const writers = 8;
/** Lists of all at once would be what is measured. */
const startedTogether = 5;
const settleMs = 180_000;
const sampleMs = 500;

/** Writers and informers at a kube-apiserver while `during` lasts; then everybody has to know the same. */
export async function runLoad(api: KubeApi, engine: Engine, options: LoadOptions): Promise<LoadResult> {
  const writing = new AbortController();
  const watching = new AbortController();
  const informers: Informer[] = [];
  const resident: number[] = [];
  const sampling = sample(engine, resident, watching.signal);
  const all: ReturnType<typeof startWriter>[] = [];
  try {
    const created = performance.now();
    for (let writer = 0; writer < writers; writer++) {
      const names = Array.from({ length: Math.ceil(options.objects / writers) }, (_, index) => `w${writer}-${index}`);
      const random = createRandom(options.seed * 1_000 + writer);
      const { signal } = writing;
      const { pauseMs } = options;
      all.push(startWriter(api, { name: `w${writer}`, path, objects: names, random, signal, pauseMs }));
    }
    await Promise.all(all.map((each) => each.created));
    const creationSeconds = (performance.now() - created) / 1000;
    while (informers.length < options.watchers) {
      const fresh = Array.from({ length: startedTogether }, (_, index) =>
        startInformer(`watcher ${informers.length + index}`, api, path, watching.signal),
      );
      informers.push(...fresh);
      await expect.poll(() => fresh.every(({ counts }) => counts.watches > 0), { timeout: settleMs }).toBe(true);
    }
    const begun = performance.now();
    const early = resident.length;
    const sum = (count: (informer: Informer) => number) => informers.reduce((total, each) => total + count(each), 0);
    const acknowledged = () => all.reduce((total, { counts }) => total + counts.acknowledged, 0);
    const [eventsBefore, writesBefore] = [sum(({ counts }) => counts.events), acknowledged()];
    await options.during({ writes: acknowledged });
    const seconds = (performance.now() - begun) / 1000;
    writing.abort();
    await Promise.all(all.map(({ done }) => done));
    const [events, writes] = [sum(({ counts }) => counts.events), acknowledged()];
    const during = resident.slice(early);
    const listed = await fullList(api);
    const settled = () => informers.filter(({ cache }) => !sameVersions(cache, listed)).length;
    await expect
      .poll(settled, { timeout: settleMs, interval: 500 })
      .toBe(0)
      .catch(() => undefined);
    return {
      faults: [...(await faultsOf(all, informers, listed, api)), ...(await storedFaults(engine, listed))],
      figures: {
        objects: listed.size,
        watchers: informers.length,
        seconds: Math.round(seconds),
        creationsPerSecond: Math.round((options.objects / creationSeconds) * 10) / 10,
        writes: writes - writesBefore,
        open: all.reduce((total, { counts }) => total + counts.open, 0),
        events: events - eventsBefore,
        eventsPerSecond: Math.round((events - eventsBefore) / seconds),
        watches: sum(({ counts }) => counts.watches),
        relists: sum(({ counts }) => counts.lists - 1),
        ...memory(during),
        residentMost: Math.round(Math.max(...resident)),
      },
    };
  } finally {
    writing.abort();
    watching.abort();
    await sampling;
    await Promise.all([...all, ...informers].map(({ done }) => done.catch(() => {})));
  }
}

async function faultsOf(
  writes: readonly Writes[],
  informers: readonly Informer[],
  listed: ReadonlyMap<string, number>,
  api: KubeApi,
): Promise<string[]> {
  const faults = [...writes, ...informers].flatMap((each) => each.faults.slice(0, 5));
  for (const [index, { cache, seen, gaps }] of informers.entries()) {
    if (!sameVersions(cache, listed)) faults.push(`watcher ${index}: its cache is not what a full list says`);
    const first = Math.min(...seen);
    // What came while it had no watch is in the list that it made then.
    const missed = writes
      .flatMap(({ acknowledged }) => acknowledged)
      .filter((at) => at > first && !seen.has(at) && !gaps.some(([from, to]) => at > from && at <= to));
    if (missed.length > 0) faults.push(`watcher ${index}: never saw ${missed.slice(0, 5).join(", ")}`);
  }
  type Full = { metadata: { name: string }; data: { value: string } };
  const { body } = await api.call<{ items: Full[] }>("GET", path);
  const values = new Map(body.items.map(({ metadata, data }) => [metadata.name, data?.value]));
  for (const [name, { value }] of writes.flatMap((each) => [...each.values])) {
    if (values.get(name) !== value) faults.push(`${name} holds ${values.get(name)}, acknowledged was ${value}`);
  }
  return faults;
}

/** What lies in the datastore itself, by a linearizable read. */
async function storedFaults(engine: Engine, listed: ReadonlyMap<string, number>): Promise<string[]> {
  const connection = openConnection(engine.endpoint);
  try {
    const range = { ...defaults.range, key: bytes(storedPrefix), rangeEnd: storedEnd, keysOnly: true };
    const { kvs } = await etcdCalls(connection).range(range, settleMs);
    const stored = new Map(kvs.map(({ key, modRevision }) => [text(key).slice(storedPrefix.length), modRevision]));
    return sameVersions(stored, listed) ? [] : ["the datastore holds other versions than kube-apiserver lists"];
  } finally {
    connection.close();
  }
}

/** Without a version asked for, a list is as new as the datastore is. */
async function fullList(api: KubeApi): Promise<ReadonlyMap<string, number>> {
  type List = { items: { metadata: { name: string; resourceVersion: string } }[] };
  const ask = async () => {
    const { status, body } = await api.call<List>("GET", path, { accept: listOfNamesOnly });
    // While its cache is made anew it says so.
    if (status !== 200) throw new Error(`a list was answered by ${status}`);
    return body.items;
  };
  const items = await vi.waitFor(ask, { timeout: settleMs, interval: 500 });
  return new Map(items.map(({ metadata }) => [metadata.name, Number(metadata.resourceVersion)]));
}

function sameVersions(one: ReadonlyMap<string, number>, other: ReadonlyMap<string, number>): boolean {
  return one.size === other.size && [...one].every(([name, version]) => other.get(name) === version);
}

async function sample(engine: Engine, into: number[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const now = await engine.resident();
    if (now > 0) into.push(now);
    await delay(sampleMs);
  }
}

/** Of the first and of the last third, in MiB. */
function memory(samples: readonly number[]): { readonly residentEarly: number; readonly residentLate: number } {
  const third = Math.max(1, Math.floor(samples.length / 3));
  return {
    residentEarly: Math.round(average(samples.slice(0, third))),
    residentLate: Math.round(average(samples.slice(-third))),
  };
}

const average = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0) / values.length;
