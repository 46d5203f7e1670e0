import { isDeepStrictEqual } from "node:util";
import { bytes, defaults } from "../support/etcd-calls.ts";
import { type Observed, observe, type Resolve, watchRequest } from "./observe.ts";
import type { Pair, Target } from "./pair.ts";
import type { ClientStep, Program, Step, WatchStep } from "./program.ts";
import { openWatchLog, type WatchLog } from "./watch-log.ts";

/** Where two servers part. */
export interface Difference {
  readonly what: string;
  readonly etcd: unknown;
  readonly ours: unknown;
}

const everything = { ...defaults.watch, key: bytes("\0"), rangeEnd: bytes("\0"), prevKv: true };

/** What the driver knows of the store; the same for both servers, or there is a difference. */
interface State {
  revision: number;
  compacted: number;
  /** Some watch waits for this revision. */
  awaited: number;
}

/** One operation at a time on both servers, by whichever client it belongs to; each client watches all the while. */
export async function runOrdered(pair: Pair, program: Program): Promise<Difference | undefined> {
  const targets = [pair.etcd, pair.ours];
  const [revision = 0, other = 0] = await Promise.all(targets.map((target) => target.reset()));
  if (revision !== other) return { what: "revision after a reset", etcd: revision, ours: other };
  const used = [...new Set(program.steps.map(({ client }) => client))];
  const runs = targets.map((target) => createRun(target));
  const state: State = { revision, compacted: revision, awaited: 0 };
  try {
    const started = await both(runs, (run) => run.open(used));
    if (started) return { what: "first watch", ...started };
    for (const [index, each] of program.steps.entries()) {
      const difference = await step(runs, each, state);
      if (difference) return { what: `step ${index}`, ...difference };
    }
    await settle(runs, state);
    return await both(runs, async (run) => run.events()).then((found) => found && { what: "events", ...found });
  } finally {
    for (const run of runs) run.close();
  }
}

type Apart = Omit<Difference, "what">;

async function both(runs: readonly Run[], ask: (run: Run) => Promise<unknown>): Promise<Apart | undefined> {
  const [etcd, ours] = await Promise.all(runs.map(ask));
  return isDeepStrictEqual(etcd, ours) ? undefined : { etcd, ours };
}

async function step(
  runs: readonly Run[],
  { client, step: what }: ClientStep,
  state: State,
): Promise<Apart | undefined> {
  const at: Resolve = (back) => (back === null ? 0 : Math.max(1, state.revision - back));
  if (what.call === "progress" || what.call === "cancel" || what.call === "compact") await settle(runs, state);
  const answers = await Promise.all(runs.map((run) => run.apply(client, what, at, state)));
  const [etcd, ours] = answers;
  if (!isDeepStrictEqual(etcd, ours)) return { etcd, ours };
  if (typeof etcd?.header === "number") state.revision = Math.max(state.revision, etcd.header);
  if (what.call === "compact" && etcd?.error === undefined) state.compacted = at(what.at);
  if (what.call === "watch") state.awaited = Math.max(state.awaited, at(what.from));
  return undefined;
}

/** Until every watch has all there is: watches that wait for a later revision get it first. */
async function settle(runs: readonly Run[], state: State): Promise<void> {
  while (state.revision < state.awaited) {
    const next = {
      call: "put",
      key: "~",
      value: "",
      lease: "0",
      prevKv: false,
      ignoreValue: false,
      ignoreLease: false,
    };
    const [answer] = await Promise.all(runs.map((run) => run.apply(0, next as Step, () => 0, state)));
    state.revision = answer?.header as number;
  }
  await Promise.all(runs.map((run) => run.settle(state.revision)));
}

interface Run {
  open(clients: readonly number[]): Promise<unknown>;
  apply(client: number, step: Step, at: Resolve, state: State): Promise<Observed | undefined>;
  settle(revision: number): Promise<void>;
  events(): unknown;
  close(): void;
}

function createRun(target: Target): Run {
  const logs = new Map<number, WatchLog>();
  const logOf = (client: number): WatchLog => {
    const log = logs.get(client);
    if (!log) throw new Error(`no watches of client ${client}`);
    return log;
  };
  const connectionOf = (client: number) => {
    const found = target.clients[client];
    if (!found) throw new Error(`no client ${client}`);
    return found;
  };

  async function watch(client: number, step: WatchStep, at: Resolve, state: State): Promise<Observed> {
    const request = watchRequest(step, at);
    if (request.startRevision === 0 || request.startRevision >= state.compacted) {
      return (await logOf(client).create(request)) as Observed;
    }
    const log = openWatchLog(connectionOf(client).connection);
    try {
      const ended = log.ended();
      const [created, end] = await Promise.all([log.create(request), ended]);
      return { created, end };
    } finally {
      log.close();
    }
  }

  return {
    open: (clients) =>
      Promise.all(
        clients.map((client) => {
          const log = openWatchLog(connectionOf(client).connection);
          logs.set(client, log);
          return log.create(everything);
        }),
      ),
    async apply(client, step, at, state) {
      switch (step.call) {
        case "watch":
          return watch(client, step, at, state);
        case "cancel":
          return { cancel: await logOf(client).cancel(step.id) };
        case "progress":
          return { progress: await logOf(client).progress(state.revision) };
        default:
          return observe(connectionOf(client).calls, step, at);
      }
    },
    async settle(revision) {
      await Promise.all([...logs.values()].map((log) => log.progress(revision)));
    },
    events: () => [...logs].map(([client, { watches }]) => ({ client, watches })),
    close() {
      for (const log of logs.values()) log.close();
    },
  };
}
