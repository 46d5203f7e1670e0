import { setTimeout as delay } from "node:timers/promises";
import { createEtcdClient } from "@k8sd/k8sd/datastore/client.ts";
import type { KeyValue, TxnRequest } from "@k8sd/k8sd/datastore/gen/etcd.ts";
import { createRandom, type Random } from "../differential/program.ts";
import { openWatchLog } from "../differential/watch-log.ts";
import { bytes, defaults, type EtcdCalls, etcdCalls, text } from "../support/etcd-calls.ts";
import { type GrpcConnection, GrpcFailure, openConnection } from "../support/grpc-client.ts";
import type { Answer, Operation, SeenEvent, SeenWatch } from "./operations.ts";

export interface History {
  readonly operations: readonly Operation[];
  readonly watches: readonly SeenWatch[];
  /** All events as a watch tells them at the end. */
  readonly reference: readonly SeenEvent[];
  /** The first revision of the history. */
  readonly from: number;
  readonly seconds: number;
  /** Calls answered by a refusal that changed nothing. */
  readonly refused: number;
}

export interface Control {
  readonly nextKeys: () => void;
  /** Calls refused for want of room so far. */
  readonly refused: () => number;
}

export interface RecordOptions {
  /** Servers of one store; clients and watchers are spread over them. */
  readonly endpoints: readonly [string, ...string[]];
  readonly clients: number;
  readonly seed: number;
  /** Bytes of each value beside its name. */
  readonly padding: number;
  /** What happens meanwhile, and what ends the history; may have the clients go on to new keys. */
  readonly during: (control: Control) => Promise<void>;
}

const keysAtOnce = 6;
const prefix = "h/";
/** Longer than a restart: a call that waits through it is one more open outcome. */
const callMs = 2_000;
const retryMs = 50;
/** A watcher that got nothing for so long gets nothing more. A long history of large values is a gigabyte for each. */
const settleMs = 120_000;
const resourceExhausted = 8;

/** Clients that write and read, and watchers, until `during` ends. */
export async function record(options: RecordOptions): Promise<History> {
  const endpointOf = (index: number): string =>
    options.endpoints[index % options.endpoints.length] ?? options.endpoints[0];
  const connections = Array.from({ length: options.clients }, (_, index) => openConnection(endpointOf(index)));
  const calls = connections.map(etcdCalls);
  const stop = new AbortController();
  const operations: Operation[] = [];
  let round = 0;
  let refused = 0;
  try {
    const from = ((await (calls[0] as EtcdCalls).status({})).header?.revision ?? 0) + 1;
    const watching = new AbortController();
    const watches = watchFrom(endpointOf, from, watching.signal);
    const begun = performance.now();
    const clients = calls.map((each, client) =>
      runClient(each, client, options, {
        round: () => round,
        stop: stop.signal,
        add: (operation) => operations.push(operation),
        refused: () => refused++,
      }),
    );
    await options.during({
      nextKeys() {
        round++;
        watches.add(`from the beginning in round ${round}`, from, prefix);
        watches.add(`one round's keys in round ${round}`, from, `${prefix}${round}/`);
      },
      refused: () => refused,
    });
    const seconds = (performance.now() - begun) / 1000;
    stop.abort();
    await Promise.all(clients);
    const reference = await readEvents(connections[0] as GrpcConnection, calls[0] as EtcdCalls, from);
    await watches.until(reference);
    watching.abort();
    return { operations, watches: await watches.ended(), reference, from, seconds, refused };
  } finally {
    for (const connection of connections) connection.close();
  }
}

interface ClientDeps {
  readonly round: () => number;
  readonly stop: AbortSignal;
  readonly add: (operation: Operation) => void;
  readonly refused: () => void;
}

async function runClient(
  calls: EtcdCalls,
  client: number,
  options: RecordOptions,
  { round, stop, add, refused }: ClientDeps,
): Promise<void> {
  const random = createRandom(options.seed * 1_000 + client);
  const padding = " ".repeat(options.padding);
  const last = new Map<string, string | undefined>();
  for (let count = 0; !stop.aborted; count++) {
    const key = `${prefix}${round()}/${random(keysAtOnce)}`;
    const call = choose(random, last.get(key), `${client}-${count}`);
    const start = performance.now();
    try {
      const answer = await ask(calls, key, call, padding);
      last.set(key, "value" in call && answer.swapped !== false ? call.value : answer.value);
      add({ client, key, call, start, end: performance.now(), answer });
    } catch (error) {
      if (!(error instanceof GrpcFailure)) throw error;
      // Refused for want of room: surely nothing happened. All else may have, or may still; a read has no effect.
      const noRoom = error.answered && error.code === resourceExhausted;
      if (noRoom) refused();
      if (error.sent && !noRoom && call.kind !== "read")
        add({ client, key, call, start, end: Number.POSITIVE_INFINITY });
      await delay(retryMs);
    }
  }
}

function choose(random: Random, known: string | undefined, value: string): Operation["call"] {
  const kind = random(10);
  if (kind < 3) return { kind: "read" };
  if (kind < 6) return { kind: "put", value };
  return kind < 9 ? { kind: "swap", expected: known, value } : { kind: "delete" };
}

async function ask(calls: EtcdCalls, key: string, call: Operation["call"], padding: string): Promise<Answer> {
  const where = { key: bytes(key) };
  switch (call.kind) {
    case "read": {
      const { header, kvs } = await calls.range({ ...defaults.range, ...where }, callMs);
      return answerOf(kvs[0], header?.revision);
    }
    case "put": {
      const request = { ...defaults.put, ...where, value: bytes(call.value + padding), prevKv: true };
      const { header, prevKv } = await calls.put(request, callMs);
      return answerOf(prevKv, header?.revision);
    }
    case "delete": {
      const { header, prevKvs } = await calls.remove({ ...defaults.remove, ...where, prevKv: true }, callMs);
      return answerOf(prevKvs[0], header?.revision);
    }
    case "swap":
      return swap(calls, where, call, padding);
  }
}

async function swap(
  calls: EtcdCalls,
  where: { readonly key: Buffer },
  call: { readonly expected: string | undefined; readonly value: string },
  padding: string,
): Promise<Answer> {
  const compared: TxnRequest["compare"][number] =
    call.expected === undefined
      ? { ...where, rangeEnd: bytes(""), result: 0, target: 1, targetUnion: { $case: "createRevision", value: 0n } }
      : {
          ...where,
          rangeEnd: bytes(""),
          result: 0,
          target: 3,
          targetUnion: { $case: "value", value: bytes(call.expected + padding) },
        };
  const put = { ...defaults.put, ...where, value: bytes(call.value + padding), prevKv: true };
  const { header, succeeded, responses } = await calls.txn(
    {
      compare: [compared],
      success: [{ request: { $case: "requestPut", value: put } }],
      failure: [{ request: { $case: "requestRange", value: { ...defaults.range, ...where } } }],
    },
    callMs,
  );
  const response = responses[0]?.response;
  const kv =
    response?.$case === "responsePut"
      ? response.value.prevKv
      : response?.$case === "responseRange"
        ? response.value.kvs[0]
        : undefined;
  return { ...answerOf(kv, header?.revision), swapped: succeeded };
}

const nameOf = (kv: Pick<KeyValue, "value">): string => text(kv.value).trimEnd();
const answerOf = (kv: KeyValue | undefined, revision = 0): Answer => ({
  value: kv && nameOf(kv),
  version: kv?.version ?? 0,
  revision,
});

/** Watchers of the product's own client, which resumes by itself. */
function watchFrom(endpointOf: (index: number) => string, from: number, signal: AbortSignal) {
  const all: {
    seen: SeenWatch & { readonly seen: (SeenEvent | { readonly progress: number })[] };
    done: Promise<void>;
  }[] = [];
  const add = (name: string, first: number, keys: string) => {
    const seen: (SeenEvent | { readonly progress: number })[] = [];
    const watch = { name, from: first, prefix: keys, seen };
    all.push({ seen: watch, done: follow(endpointOf(all.length), watch, signal) });
  };
  for (const name of ["first", "second", "third", "fourth"]) add(name, from, prefix);
  return {
    add,
    /** Until each has what it lacks, or nothing comes any more: the check then says what is missing. */
    async until(reference: readonly SeenEvent[]): Promise<void> {
      const behind = () =>
        all.some(({ seen }) => {
          const last = reference.findLast(({ key }) => key.startsWith(seen.prefix))?.revision ?? 0;
          return last > 0 && !seen.seen.some((each) => ("revision" in each ? each.revision : each.progress) >= last);
        });
      const count = () => all.reduce((sum, { seen }) => sum + seen.seen.length, 0);
      let came = count();
      for (let deadline = performance.now() + settleMs; behind() && performance.now() < deadline; await delay(50)) {
        if (count() > came) deadline = performance.now() + settleMs;
        came = count();
      }
    },
    async ended(): Promise<SeenWatch[]> {
      await Promise.all(all.map(({ done }) => done));
      return all.map(({ seen }) => seen);
    },
  };
}

async function follow(
  endpoint: string,
  watch: SeenWatch & { readonly seen: (SeenEvent | { readonly progress: number })[] },
  signal: AbortSignal,
): Promise<void> {
  await using client = createEtcdClient({ endpoints: [endpoint] });
  for await (const batch of client.watch({ prefix: watch.prefix }, { from: watch.from, signal, prevKv: true })) {
    if (batch.kind === "progress") watch.seen.push({ progress: batch.revision });
    if (batch.kind !== "events") continue;
    for (const event of batch.events) {
      const previous = event.prevKv && nameOf(event.prevKv);
      if (event.type === "delete") {
        watch.seen.push({ key: text(event.key), revision: event.revision, value: undefined, version: 0, previous });
      } else {
        const { key, modRevision, version } = event.kv;
        watch.seen.push({ key: text(key), revision: modRevision, value: nameOf(event.kv), version, previous });
      }
    }
  }
}

async function readEvents(connection: GrpcConnection, calls: EtcdCalls, from: number): Promise<SeenEvent[]> {
  const revision = (await calls.status({})).header?.revision ?? 0;
  const log = openWatchLog(connection);
  try {
    const everything = { key: bytes("\0"), rangeEnd: bytes("\0") };
    await log.create({ ...defaults.watch, ...everything, startRevision: from, prevKv: true });
    await log.progress(revision, settleMs);
    type Plain = { key: string; value: string; modRevision: number; version: number };
    const events = (log.watches[0]?.events ?? []) as { type: number; kv: Plain; prevKv?: Plain }[];
    return events.map(({ type, kv, prevKv }) => ({
      key: kv.key,
      revision: kv.modRevision,
      value: type === 0 ? kv.value.trimEnd() : undefined,
      version: kv.version,
      previous: prevKv?.value.trimEnd(),
    }));
  } finally {
    log.close();
  }
}
