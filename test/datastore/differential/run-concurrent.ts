import { isDeepStrictEqual } from "node:util";
import { bytes, defaults } from "../support/etcd-calls.ts";
import { prefixEndOf, prefixOf } from "./generate.ts";
import { type Observed, observe, type Resolve, watchRequest } from "./observe.ts";
import type { Client, Pair, Target } from "./pair.ts";
import type { Program, Step } from "./program.ts";
import type { Difference } from "./run-ordered.ts";
import { openWatchLog } from "./watch-log.ts";

/** Further ahead than any run gets. */
const futureBy = 1_000_000_000;

/**
 * All clients at once, each within keys of its own. What a client sees depends on itself alone but for the numbers of the
 * revisions: those are compared by their rank among the client's own changes.
 */
export async function runConcurrent(pair: Pair, program: Program): Promise<Difference | undefined> {
  const targets = [pair.etcd, pair.ours];
  const used = [...new Set(program.steps.map(({ client }) => client))].sort((a, b) => a - b);
  const runs = await Promise.all(
    targets.map(async (target) => {
      const base = await target.reset();
      return Promise.all(used.map((client) => runClient(target, client, stepsOf(program, client), base)));
    }),
  );
  const [theirs = [], ours = []] = runs;
  for (const [index, client] of used.entries()) {
    const [a, b] = [theirs[index], ours[index]];
    const at = a?.answers.findIndex((answer, step) => !isDeepStrictEqual(answer, b?.answers[step])) ?? -1;
    if (at >= 0) return { what: `client ${client}, its step ${at}`, etcd: a?.answers[at], ours: b?.answers[at] };
    if (!isDeepStrictEqual(a?.watches, b?.watches)) {
      return { what: `events of client ${client}`, etcd: a?.watches, ours: b?.watches };
    }
  }
  return undefined;
}

const stepsOf = (program: Program, client: number): readonly Step[] =>
  program.steps.filter((each) => each.client === client).map(({ step }) => step);

interface Outcome {
  readonly answers: readonly unknown[];
  readonly watches: unknown;
}

async function runClient(target: Target, client: number, steps: readonly Step[], base: number): Promise<Outcome> {
  const { connection, calls } = target.clients[client] as Client;
  const log = openWatchLog(connection);
  const writes: number[] = [];
  let newest = base;
  const at: Resolve = (back) => {
    if (back === null) return 0;
    return back < 0 ? newest + futureBy : (writes.at(-1 - back) ?? base);
  };
  try {
    const own = { key: bytes(prefixOf(client)), rangeEnd: bytes(prefixEndOf(client)) };
    await log.create({ ...defaults.watch, ...own, startRevision: base + 1, prevKv: true });
    const answers: Observed[] = [];
    for (const step of steps) {
      if (step.call === "watch") answers.push((await log.create(watchRequest(step, at))) as Observed);
      else answers.push(await observe(calls, step, at));
      const revision = answers.at(-1)?.header;
      if (typeof revision !== "number") continue;
      if (revision < newest) answers.push({ fault: "revision went back", revision, newest });
      newest = Math.max(newest, revision);
      if (changes(answers.at(-1))) writes.push(revision);
    }
    await log.progress(newest);
    const rank = ranks(log.watches[0]?.events ?? []);
    return { answers: answers.map((answer) => ranked(answer, rank)), watches: ranked(log.watches, rank) };
  } finally {
    log.close();
  }
}

/** True for the answer of a call that made a revision. */
function changes(answer: unknown): boolean {
  if (typeof answer !== "object" || answer === null) return false;
  if ("deleted" in answer) return answer.deleted !== 0;
  if ("responses" in answer) return (answer.responses as Observed[]).some((each) => changes(inner(each)));
  return "prevKv" in answer;
}

const inner = (response: Observed): unknown => (response.response as { value: unknown } | undefined)?.value;

/** The place of each revision among the client's changes, all of which its first watch saw. */
function ranks(events: readonly unknown[]): ReadonlyMap<number, number> {
  const revisions = (events as { kv?: { modRevision: number } }[]).map(({ kv }) => kv?.modRevision ?? 0);
  return new Map([...new Set(revisions)].map((revision, index) => [revision, index + 1]));
}

/** Headers are left out: those of reads say how far the others are. */
function ranked(value: unknown, rank: ReadonlyMap<number, number>): unknown {
  if (Array.isArray(value)) return value.map((each) => ranked(each, rank));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value)
    .filter(([name]) => name !== "header")
    .map(([name, field]) => {
      const isRevision = name === "modRevision" || name === "createRevision";
      return [name, isRevision ? (rank.get(field as number) ?? field) : ranked(field, rank)];
    });
  return Object.fromEntries(entries);
}
