import { runCommand } from "../kubernetes/run-command.ts";
import type { DatastorePrograms } from "./datastore-programs.ts";
import type { System } from "./datastore-systems.ts";

/** Calls per second, and times in milliseconds. */
export interface Rate {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

export interface Load {
  /** By etcd's own tool: puts with 512-byte values over 100,000 keys. */
  put(system: System, clients: number): Promise<Rate>;
  /** By etcd's own tool: one key. */
  get(system: System, clients: number): Promise<Rate>;
  /** By etcd's own tool: 500 keys. */
  list(system: System, clients: number): Promise<Rate>;
  /** By our client, as kube-apiserver does: a transaction that puts a key that is not there. */
  create(system: System, clients: number): Promise<Rate>;
  mix(system: System): Promise<Rate>;
  watch(system: System): Promise<Rate>;
  fill(system: System, keys: number): Promise<Rate>;
  compact(system: System): Promise<number>;
}

const deadlineMs = 120_000;
/** Long enough to be steady, short enough to take turns. */
const calls = { put: { 1: 1_500, 16: 8_000, 256: 20_000 }, get: { 1: 3_000, 16: 12_000, 256: 30_000 } };
const lists = { 1: 500, 16: 1_500, 256: 2_500 };
const seconds = { create: 2, mix: 3 };

const of = (table: Readonly<Record<number, number>>, clients: number): number => table[clients] ?? 1_000;
/** Keys of etcd's tool begin with a byte of a number, mostly beyond ASCII; two fifths of them lie between these. */
const firstKey = "\u0080";
const lastKey = "\u{10ffff}";

export function createLoad({ benchmark, load }: DatastorePrograms): Load {
  const signal = new AbortController().signal;
  let runs = 0;

  async function byEtcdsTool(system: System, clients: number, args: readonly string[]): Promise<Rate> {
    const conns = String(Math.min(clients, 16));
    const common = ["--endpoints", system.endpoint, "--clients", String(clients), "--conns", conns, "--precise"];
    return parseReport(await runCommand({ program: benchmark, args: [...common, ...args], signal, deadlineMs }));
  }

  async function byOurs<T>(system: System, mode: string, args: readonly string[]): Promise<T> {
    const prefix = `/registry/run-${runs++}/`;
    const all = ["-endpoint", system.endpoint, "-mode", mode, "-prefix", prefix, ...args];
    return JSON.parse(await runCommand({ program: load, args: all, signal, deadlineMs })) as T;
  }

  return {
    put: (system, clients) =>
      byEtcdsTool(system, clients, [
        ...["put", "--total", String(of(calls.put, clients)), "--val-size", "512", "--key-size", "32"],
        ...["--key-space-size", "100000", "--sequential-keys"],
      ]),
    // The first key that put made: the number 1, as the tool writes it.
    get: (system, clients) =>
      byEtcdsTool(system, clients, ["range", "\u0002", "--total", String(of(calls.get, clients))]),
    list: (system, clients) =>
      byEtcdsTool(system, clients, [
        ...["range", firstKey, lastKey, "--limit", "500", "--total", String(of(lists, clients))],
      ]),
    create: (system, clients) =>
      byOurs(system, "create", ["-clients", String(clients), "-seconds", String(seconds.create)]),
    mix: (system) => byOurs(system, "mix", ["-clients", "16", "-seconds", String(seconds.mix)]),
    watch: (system) => byOurs(system, "watch", ["-clients", "10", "-conns", "10", "-total", "100000"]),
    fill: (system, keys) => byOurs(system, "fill", ["-clients", "256", "-total", String(keys)]),
    compact: async (system) => (await byOurs<{ ms: number }>(system, "compact", [])).ms,
  };
}

/** The report of etcd's tool is for people. */
function parseReport(text: string): Rate {
  const number = (pattern: RegExp): number => {
    const found = pattern.exec(text)?.[1];
    if (found === undefined) throw new Error(`cannot read the report of etcd's benchmark tool: ${text.slice(-500)}`);
    return Number(found);
  };
  if (/Error distribution/.test(text)) throw new Error(text.slice(text.indexOf("Error distribution")));
  return {
    perSecond: number(/Requests\/sec:\s+([\d.e+]+)/),
    p50: number(/50% in ([\d.e+-]+)/) * 1000,
    p99: number(/99% in ([\d.e+-]+)/) * 1000,
  };
}
