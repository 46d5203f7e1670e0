import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { etcdPrograms } from "../support/servers.ts";
import { generateProgram } from "./generate.ts";
import { keepProgram, keptPrograms } from "./kept.ts";
import { knownDifferences } from "./known-differences.ts";
import { type EngineArgs, type Pair, startPair } from "./pair.ts";
import type { Program } from "./program.ts";
import { runConcurrent } from "./run-concurrent.ts";
import { type Difference, runOrdered } from "./run-ordered.ts";
import { shrink } from "./shrink.ts";

/** K8SD_OPERATIONS go over so many, half of them in each mode; a full run is 100,000 operations and more. */
const seeds = Number(process.env.K8SD_SEEDS ?? 6);
/** K8SD_SEED: the first seed of an earlier run, to repeat it. */
const firstSeed = Number(process.env.K8SD_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** Runs of the program that failed, each well under a second once it is short. */
const shrinkAttempts = 150;
/** Memory where there is some: answers are compared here, disks elsewhere. */
const parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** Random programs against real etcd and against ours over some store, of the usual number of operations. */
export function differentialTests(what: string, usual: number, engineArgs?: EngineArgs): void {
  const operations = Number(process.env.K8SD_OPERATIONS ?? usual);
  let etcd: string;
  let pair: Pair;
  beforeAll(async () => {
    etcd = (await etcdPrograms()).etcd;
    pair = await startPair(etcd, parent, engineArgs);
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
    pair = await startPair(etcd, parent, engineArgs);
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

  describe(`${what} beside real etcd 3.6`, () => {
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
}
