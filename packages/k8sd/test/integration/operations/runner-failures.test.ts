import { randomUUID } from "node:crypto";
import pino from "pino";
import { describe, expect, test, vi } from "vitest";
import { AppError } from "../../../src/lib/app-error.ts";
import { sleep } from "../../../src/lib/wait.ts";
import { createJournal, type Journal } from "../../../src/node-db/journal.ts";
import { openNodeDb } from "../../../src/node-db/node-db.ts";
import type { Executor, Plan } from "../../../src/operations/plan.ts";
import { createRunner } from "../../../src/operations/runner.ts";
import { operationStatus } from "../../../src/operations/views.ts";

interface Put {
  readonly kind: "put";
  readonly title: string;
  readonly args: string;
}

const planOf = (): Plan<Put> => ({
  operation: "bootstrap",
  requestId: randomUUID(),
  input: {},
  steps: ["a", "b"].map((key) => ({ kind: "put", title: `Put ${key}`, args: key })),
  commit: 1,
  result: { ok: true },
});

/** A runner whose journal cannot be written while the disk is full. */
function start(run: Executor<Put>["run"]) {
  const world = new Set<string>();
  const disk = { full: false };
  const db = openNodeDb(":memory:");
  const journal = createJournal(db, Date.now);
  const write =
    <A extends unknown[]>(call: (...args: A) => void) =>
    (...args: A): void => {
      if (disk.full) throw Object.assign(new Error("database or disk is full"), { code: "SQLITE_FULL" });
      call(...args);
    };
  const limited: Journal = {
    ...journal,
    begin: write(journal.begin),
    step: write(journal.step),
    undoing: write(journal.undoing),
    finish: write(journal.finish),
  };
  const runner = createRunner({ journal: limited, log: pino({ level: "silent" }), now: Date.now });
  runner.register<Put>("bootstrap", {
    put: {
      run: async (step, context) => {
        world.add(step.args);
        await run(step, context);
      },
      undo: async (step) => void world.delete(step.args),
    },
  });
  return { runner, world, disk, [Symbol.dispose]: () => db.close() };
}

const failureOf = (result: Promise<unknown>): Promise<unknown> => result.catch((error: unknown) => error);

describe("an operation that fails", () => {
  test("says at which step, why, and what to do about a full disk", async () => {
    using it = start(() => Promise.reject(Object.assign(new Error("no space left"), { code: "ENOSPC" })));
    const error = await failureOf(it.runner.start(planOf(), { timeoutMs: 5_000 }).result);
    expect(error).toMatchObject({
      message: 'cannot finish bootstrap at "Put a"',
      cause: { message: "no space left" },
      remedy: "Free disk space.",
    });
  });

  test("says what it was at when its time was over, with the step's own reason", async () => {
    using it = start(async (_step, { signal }) => {
      await sleep(60_000, signal).catch(() => {
        throw new AppError("unavailable", "the engine is not ready", { remedy: "Look at its log." });
      });
    });
    const error = await failureOf(it.runner.start(planOf(), { timeoutMs: 50 }).result);
    expect(error).toMatchObject({
      kind: "timeout",
      message: 'cannot finish bootstrap within 0.05 s, while it was at "Put a"',
      cause: { message: "the engine is not ready" },
      remedy: expect.stringMatching(/^Look at its log\. .*--timeout/),
    });
  });

  test("is taken back when the journal cannot be written, and is out of the way before the next one begins", async () => {
    let broken = true;
    using it = start(async (step) => {
      if (step.args === "b" && broken) it.disk.full = true;
    });
    const first = it.runner.start(planOf(), { timeoutMs: 5_000 });
    expect(await failureOf(first.result)).toMatchObject({ cause: { message: "database or disk is full" } });
    expect([...it.world]).toEqual([]);
    broken = false;
    it.disk.full = false;
    expect(() => it.runner.start(planOf(), { timeoutMs: 5_000 })).toThrow(
      "an earlier bootstrap is not fully taken back",
    );
    await vi.waitFor(() => expect(it.runner.list().map(({ state }) => state)).toEqual(["undone"]));
    await it.runner.start(planOf(), { timeoutMs: 5_000 }).result;
    expect([...it.world]).toEqual(["a", "b"]);
  });

  test("is not taken back by a recovery that finds it under way", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    using it = start(() => promise);
    const run = it.runner.start(planOf(), { timeoutMs: 5_000 });
    const recovered = it.runner.recover();
    resolve();
    await recovered;
    expect(await run.result).toEqual({ ok: true });
    expect([...it.world]).toEqual(["a", "b"]);
  });

  test("does not begin when the journal cannot be written", () => {
    using it = start(() => Promise.resolve());
    it.disk.full = true;
    expect(() => it.runner.start(planOf(), { timeoutMs: 5_000 })).toThrow("cannot start bootstrap");
    expect([...it.world]).toEqual([]);
  });
});

describe("what was done once", () => {
  const reason = new AppError("cancelled", "cannot stay");

  test("is taken back with what its steps recorded, once, also after many other operations", async () => {
    using test = start(async (step, context) => context.remember({ key: step.args }));
    await test.runner.start(planOf(), { timeoutMs: 5_000 }).result;
    expect([...test.world]).toEqual(["a", "b"]);
    const seen: string[] = [];
    const onEvent = ({ title, state }: { title: string; state: string }) => void seen.push(`${state} ${title}`);
    const context = { signal: AbortSignal.timeout(5_000), onEvent };
    expect(await test.runner.takeBack(["join", "bootstrap"], reason, context)).toBe(true);
    expect([...test.world]).toEqual([]);
    expect(seen).toEqual(["undoing Put b", "undone Put b", "undoing Put a", "undone Put a"]);
    seen.length = 0;
    expect(await test.runner.takeBack(["join", "bootstrap"], reason, context)).toBe(true);
    expect(seen).toEqual([]);
  });

  test("of another kind stays", async () => {
    using test = start(async () => {});
    await test.runner.start(planOf(), { timeoutMs: 5_000 }).result;
    const context = { signal: AbortSignal.timeout(5_000), onEvent: () => {} };
    expect(await test.runner.takeBack(["join"], reason, context)).toBe(true);
    expect([...test.world]).toEqual(["a", "b"]);
  });
});

describe("an operation that is final", () => {
  test("is gone on with by itself after the time of whoever began it", async () => {
    let broken = true;
    using it = start(async (step) => {
      if (step.args === "b" && broken) throw new Error("the port is taken");
    });
    const plan = { ...planOf(), commit: 0 };
    const { id, result } = it.runner.start(plan, { timeoutMs: 50 });
    expect(await failureOf(result)).toMatchObject({ kind: "timeout" });
    const state = () => it.runner.list().find((operation) => operation.id === id)?.state;
    expect(state()).toBe("running");
    broken = false;
    await expect.poll(state, { timeout: 30_000 }).toBe("done");
    expect(it.world).toEqual(new Set(["a", "b"]));
    await it.runner.stop();
  });

  test("and does not get on can be given up for another one, for good; one that is not final cannot", async () => {
    const asked: string[] = [];
    using it = start(async ({ args }, { signal }) => {
      asked.push(args);
      if (args === "b") await sleep(60_000, signal);
    });
    const reason = new AppError("cancelled", "cannot finish bootstrap: something else came first");
    const final = { ...planOf(), commit: 0 };
    const { result } = it.runner.start(final, { timeoutMs: 60_000 });
    await vi.waitFor(() => expect(asked).toEqual(["a", "b"]));
    await it.runner.giveUp(["join"], reason);
    expect(() => it.runner.start(planOf(), { timeoutMs: 5_000 })).toThrow("a bootstrap is under way");
    await it.runner.giveUp(["bootstrap"], reason);
    await expect(result).rejects.toThrow("something else came first");
    await expect(it.runner.find(final.requestId)?.result).rejects.toThrow("something else came first");
    // Nothing of it is taken back, and nothing is tried again.
    expect([...it.world]).toEqual(["a", "b"]);
    const open = it.runner.start(planOf(), { timeoutMs: 60_000 });
    await vi.waitFor(() => expect(asked).toEqual(["a", "b", "a", "b"]));
    await it.runner.giveUp(["bootstrap"], reason);
    expect(it.runner.cancel(open.id)).toBe(true);
    await expect(open.result).rejects.toThrow("it was cancelled");
  });

  test("has what its steps found in its result, also for who asks later", async () => {
    using it = start(async (step, context) => {
      if (step.args === "a") context.add({ found: 1 });
      else context.add({ sum: Number(context.added().found) + 1 });
    });
    const plan = planOf();
    const whole = { ok: true, found: 1, sum: 2 };
    expect(await it.runner.start(plan, { timeoutMs: 5_000 }).result).toEqual(whole);
    expect(await it.runner.find(plan.requestId)?.result).toEqual(whole);
    expect(it.runner.list().map(operationStatus)).toMatchObject([{ state: "done", result: whole }]);
  });
});
