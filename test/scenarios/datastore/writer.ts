import type { Random } from "../../datastore/differential/program.ts";
import type { KubeApi } from "./kube-api.ts";

interface Stored {
  readonly metadata: { readonly resourceVersion: string; readonly uid: string };
  readonly data: { readonly value: string };
}

/** What an object holds: what was acknowledged last, and what nobody knows whether it took place since. */
interface Known {
  value: string | undefined;
  version: number;
  open: (string | undefined)[];
}

export interface Writes {
  /** Versions of acknowledged creations and changes. */
  readonly acknowledged: readonly number[];
  readonly counts: { readonly acknowledged: number; readonly open: number };
  /** Broken promises, in words. */
  readonly faults: readonly string[];
  /** Name to acknowledged value; undefined of one that is deleted. */
  readonly values: ReadonlyMap<string, { readonly value: string | undefined }>;
  readonly done: Promise<void>;
}

export interface WriterOptions {
  readonly name: string;
  readonly path: string;
  /** Objects that nobody else writes. */
  readonly objects: readonly string[];
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly pauseMs: number;
}

/** About as much as a pod with its status. */
const filler = "x".repeat(3_000);

/** Creates all, then creates, changes and deletes at random until the signal ends it. */
export function startWriter(api: KubeApi, options: WriterOptions): Writes & { readonly created: Promise<void> } {
  const { name: writer, path, objects, random, signal } = options;
  const state = new Map<string, Known>(objects.map((name) => [name, { value: undefined, version: 0, open: [] }]));
  const acknowledged: number[] = [];
  const counts = { acknowledged: 0, open: 0 };
  const faults: string[] = [];
  const pause = () => new Promise((resolve) => setTimeout(resolve, options.pauseMs));
  const created = Promise.withResolvers<void>();

  /** One change that only takes place on the state that is known, so that none can come late. */
  async function change(name: string, known: Known, wanted: string | undefined): Promise<void> {
    try {
      const { status, body } = await send(name, known, wanted);
      if (status >= 300) throw new Error(String(status));
      Object.assign(known, { value: wanted, open: [] });
      counts.acknowledged++;
      if (wanted === undefined) return;
      known.version = Number(body.metadata.resourceVersion);
      acknowledged.push(known.version);
    } catch {
      known.open.push(wanted);
      counts.open++;
      await look(name, known);
    }
  }

  function send(name: string, known: Known, wanted: string | undefined) {
    const resourceVersion = String(known.version);
    if (known.value === undefined) {
      const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { value: wanted, filler } };
      return api.call<Stored>("POST", path, { body });
    }
    if (wanted === undefined) {
      const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions: { resourceVersion } };
      return api.call<Stored>("DELETE", `${path}/${name}`, { body });
    }
    const body = { metadata: { resourceVersion }, data: { value: wanted } };
    return api.call<Stored>("PATCH", `${path}/${name}`, { body });
  }

  /** What came of an open change; that must be one of what is possible. */
  async function look(name: string, known: Known): Promise<void> {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      const found = await api.call<Stored>("GET", `${path}/${name}`).catch(() => undefined);
      if (found?.status !== 200 && found?.status !== 404) continue;
      const value = found.status === 200 ? found.body.data.value : undefined;
      if (value !== known.value && !known.open.includes(value)) {
        faults.push(`${writer}: ${name} holds ${value}, acknowledged was ${known.value}, open ${known.open.join()}`);
      }
      known.value = value;
      known.version = value === undefined ? 0 : Number(found.body.metadata.resourceVersion);
      return;
    }
  }

  async function run(): Promise<void> {
    for (const [name, known] of state) {
      while (known.value === undefined) await change(name, known, `${writer} first`);
    }
    created.resolve();
    for (let count = 0; !signal.aborted; count++) {
      const name = objects[random(objects.length)] as string;
      const known = state.get(name) as Known;
      const deletes = known.value !== undefined && random(6) === 0;
      await change(name, known, deletes ? undefined : `${writer} ${count}`);
      await pause();
    }
  }

  return { acknowledged, counts, faults, values: state, created: created.promise, done: run() };
}
