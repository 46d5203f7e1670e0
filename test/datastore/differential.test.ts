import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generateProgram } from "./differential/generate.ts";
import { keepProgram, keptPrograms } from "./differential/kept.ts";
import { knownDifferences } from "./differential/known-differences.ts";
import { type Pair, startPair } from "./differential/pair.ts";
import type { Program } from "./differential/program.ts";
import { runConcurrent } from "./differential/run-concurrent.ts";
import { type Difference, runOrdered } from "./differential/run-ordered.ts";
import { shrink } from "./differential/shrink.ts";
import { etcdPrograms } from "./support/servers.ts";

/** K8SD_OPERATIONS over K8SD_SEEDS seeds, half of them in each mode; a full run is 100,000 and more. */
const operations = Number(process.env.K8SD_OPERATIONS ?? 6_000);
const seeds = Number(process.env.K8SD_SEEDS ?? 6);
/** K8SD_SEED: the first seed of an earlier run, to repeat it. */
const firstSeed = Number(process.env.K8SD_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** Runs of the program that failed, each well under a second once it is short. */
const shrinkAttempts = 150;
/** Memory where there is some: answers are compared here, disks elsewhere. */
const parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

let etcd: string;
let pair: Pair;
beforeAll(async () => {
  etcd = (await etcdPrograms()).etcd;
  pair = await startPair(etcd, parent);
});
afterAll(() => pair?.[Symbol.asyncDispose]());

async function run(program: Program): Promise<Difference | undefined> {
  try {
    return await (program.mode === "ordered" ? runOrdered(pair, program) : runConcurrent(pair, program));
  } catch (error) {
    return { what: `no answer: ${String(error)}`, etcd: pair.etcd.server.output(), ours: pair.ours.server.output() };
  }
}

async function anew(): Promise<void> {
  await pair[Symbol.asyncDispose]();
  pair = await startPair(etcd, parent);
}

/** The difference a program shows, after it was cut down and kept. */
async function compare(program: Program): Promise<void> {
  const found = await run(program);
  if (!found) return;
  await anew();
  const shrunk = await shrink(
    program,
    async (candidate) => {
      const difference = await run(candidate);
      if (difference) await anew();
      return difference !== undefined;
    },
    shrinkAttempts,
  );
  const shown = (await run(shrunk)) ?? found;
  await anew();
  const file = keepProgram(shrunk);
  const lines = shrunk.steps.map((each) => JSON.stringify(each)).join("\n");
  expect.fail(
    `seed ${program.seed}, ${program.mode}, cut down to ${shrunk.steps.length} steps and kept in ${file}:\n${lines}\n` +
      `${shown.what}\netcd: ${JSON.stringify(shown.etcd)}\nours: ${JSON.stringify(shown.ours)}`,
  );
}

describe("the engine beside real etcd 3.6", () => {
  test("programs that once failed", async () => {
    for (const program of keptPrograms()) await compare(program);
  });

  for (let index = 0; index < seeds; index++) {
    const mode = index % 2 === 0 ? "ordered" : "concurrent";
    const seed = firstSeed + index;
    const count = Math.ceil(operations / seeds);
    const title = `seed ${seed}: ${count} operations of 16 clients, ${mode}, give the same answers, errors and events`;
    test(title, () => compare(generateProgram(mode, seed, count)));
  }

  test("every known difference says why", () => {
    for (const { what, reason, handled } of knownDifferences) {
      expect([what, reason, handled].every((text) => text.length > 0)).toBe(true);
    }
  });
});
