import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AppError } from "../../../src/lib/app-error.ts";
import { createJournal } from "../../../src/node-db/journal.ts";
import { openNodeDb } from "../../../src/node-db/node-db.ts";
import type { BoundaryHook } from "../../../src/operations/boundary.ts";
import type { Executors, Plan } from "../../../src/operations/plan.ts";
import { createRunner } from "../../../src/operations/runner.ts";

interface Put {
  readonly kind: "put";
  readonly title: string;
  readonly args: { readonly key: string };
}

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "runner-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const keys = ["a", "b", "c"] as const;

function planOf(overrides: Partial<Plan<Put>> = {}): Plan<Put> {
  return {
    operation: "bootstrap",
    requestId: randomUUID(),
    input: {},
    steps: keys.map((key) => ({ kind: "put", title: `Put ${key}`, args: { key } })),
    commit: keys.length - 1,
    result: { ok: true },
    ...overrides,
  };
}

/** A runner on a real journal whose steps fill a set: what is in it is what the operation left in the world. */
function start(world: Set<string>, options: { boundary?: BoundaryHook; executors?: Executors<Put> } = {}) {
  const db = openNodeDb(join(directory, "node.db"));
  const runner = createRunner({
    journal: createJournal(db, Date.now),
    log: pino({ level: "silent" }),
    now: Date.now,
    ...(options.boundary === undefined ? {} : { boundary: options.boundary }),
  });
  runner.register<Put>(
    "bootstrap",
    options.executors ?? {
      put: {
        run: async (step) => void world.add(step.args.key),
        undo: async (step) => void world.delete(step.args.key),
      },
    },
  );
  return { runner, close: () => db.close() };
}

async function collect<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of iterable) all.push(item);
  return all;
}

/** Stands for a killed process: nothing after this point happens in it. */
const never = new Promise<never>(() => undefined);
const moments = ["before-run", "in-run", "after-run"] as const;

describe("an operation", () => {
  test("runs its steps in order and tells each of them", async () => {
    const world = new Set<string>();
    const { runner, close } = start(world);
    const run = runner.start(planOf(), { timeoutMs: 5_000 });
    const events = await collect(run.events);
    await expect(run.result).resolves.toEqual({ ok: true });
    expect([...world]).toEqual(["a", "b", "c"]);
    expect(events.map((event) => `${event.step}/${event.of} ${event.title} ${event.state}`)).toEqual(
      keys.flatMap((key, i) => [`${i + 1}/3 Put ${key} started`, `${i + 1}/3 Put ${key} done`]),
    );
    close();
  });

  test("asked for again by the same request is the same operation, also after it ended and after a restart", async () => {
    const world = new Set<string>();
    const first = start(world);
    const plan = planOf();
    const run = first.runner.start(plan, { timeoutMs: 5_000 });
    expect(first.runner.start(plan, { timeoutMs: 5_000 }).id).toBe(run.id);
    await run.result;
    first.close();

    const second = start(world);
    const again = second.runner.start(plan, { timeoutMs: 5_000 });
    expect(again.id).toBe(run.id);
    await expect(again.result).resolves.toEqual({ ok: true });
    second.close();
  });

  test("excludes another one while it runs", async () => {
    const gate = Promise.withResolvers<void>();
    const { runner, close } = start(new Set(), { executors: { put: { run: () => gate.promise } } });
    const run = runner.start(planOf(), { timeoutMs: 5_000 });
    expect(() => runner.start(planOf(), { timeoutMs: 5_000 })).toThrow(/a bootstrap is under way/);
    gate.resolve();
    await run.result;
    close();
  });

  test("takes back what it did when a step fails, and answers with the reason, also later", async () => {
    const world = new Set<string>(["foreign"]);
    const undone: string[] = [];
    const executors: Executors<Put> = {
      put: {
        run: async (step) => {
          world.add(step.args.key);
          if (step.args.key === "b")
            throw new AppError("conflict", "cannot put b: taken", { field: "b", remedy: "Take c." });
        },
        undo: async (step) => {
          undone.push(step.args.key);
          world.delete(step.args.key);
        },
      },
    };
    const { runner, close } = start(world, { executors });
    const plan = planOf();
    await expect(runner.start(plan, { timeoutMs: 5_000 }).result).rejects.toMatchObject({
      kind: "conflict",
      field: "b",
    });
    expect(undone).toEqual(["b", "a"]);
    expect([...world]).toEqual(["foreign"]);
    await expect(runner.find(plan.requestId)?.result).rejects.toMatchObject({ kind: "conflict", remedy: "Take c." });
    close();
  });

  test("is taken back when it is cancelled or out of time", async () => {
    const world = new Set<string>();
    const executors: Executors<Put> = {
      put: {
        run: async (step, { signal }) => {
          world.add(step.args.key);
          if (step.args.key === "c") {
            // As a client of the datastore says it, in words of its own.
            const said = new AppError("cancelled", "cannot write: cancelled on client");
            await new Promise((_, reject) => signal.addEventListener("abort", () => reject(said)));
          }
        },
        undo: async (step) => void world.delete(step.args.key),
      },
    };
    const { runner, close } = start(world, { executors });
    const cancelled = runner.start(planOf(), { timeoutMs: 5_000 });
    await expect.poll(() => world.has("c")).toBe(true);
    expect(runner.cancel(cancelled.id)).toBe(true);
    const why = { kind: "cancelled", message: expect.stringMatching(/^cannot finish \w+: it was cancelled$/) };
    await expect(cancelled.result).rejects.toMatchObject(why);
    expect(world.size).toBe(0);

    await expect(runner.start(planOf(), { timeoutMs: 50 }).result).rejects.toMatchObject({ kind: "timeout" });
    expect(world.size).toBe(0);
    close();
  });

  test("forgets its secret when it ends", async () => {
    const seen: (string | undefined)[] = [];
    const { runner, close } = start(new Set(), {
      executors: { put: { run: async (_step, { secret }) => void seen.push(secret) } },
    });
    await runner.start(planOf(), { timeoutMs: 5_000, secret: "hidden" }).result;
    close();
    expect(seen).toEqual(["hidden", "hidden", "hidden"]);
    const db = openNodeDb(join(directory, "node.db"));
    expect(db.prepare("SELECT count(*) AS n FROM operation_secret").get()).toEqual({ n: 0 });
    db.close();
  });

  test("keeps the notes of a step for its undo", async () => {
    const notes: unknown[] = [];
    const { runner, close } = start(new Set(), {
      executors: {
        put: {
          run: async (step, context) => {
            context.remember({ made: step.args.key });
            if (step.args.key === "b") throw new Error("no");
          },
          undo: async (_step, context) => void notes.push(context.note),
        },
      },
    });
    await expect(runner.start(planOf(), { timeoutMs: 5_000 }).result).rejects.toThrow("no");
    expect(notes).toEqual([{ made: "b" }, { made: "a" }]);
    close();
  });
});

describe("a process killed", () => {
  for (const step of keys.keys()) {
    for (const moment of moments) {
      test(`${moment} of step ${step}: the next start takes everything back`, async () => {
        const world = new Set<string>();
        const stuck = start(world, {
          boundary: async (_operation, at, when) => {
            if (at === step && when === moment) await never;
          },
        });
        const plan = planOf();
        stuck.runner.start(plan, { timeoutMs: 60_000 });
        await expect.poll(() => world.size).toBe(moment === "before-run" ? step : step + 1);
        stuck.close();

        const next = start(world);
        await next.runner.recover();
        expect(world.size).toBe(0);
        await expect(next.runner.find(plan.requestId)?.result).rejects.toMatchObject({ kind: "cancelled" });
        const retry = next.runner.start(planOf(), { timeoutMs: 5_000 });
        await expect(retry.result).resolves.toEqual({ ok: true });
        next.close();
      });
    }
  }

  test("after the point of no return: the next start finishes it", async () => {
    const world = new Set<string>();
    const stuck = start(world, {
      boundary: async (_operation, at, when) => {
        if (at === 1 && when === "before-run") await never;
      },
    });
    const plan = planOf({ commit: 0 });
    stuck.runner.start(plan, { timeoutMs: 60_000 });
    await expect.poll(() => world.size).toBe(1);
    stuck.close();

    const next = start(world);
    await next.runner.recover();
    expect([...world]).toEqual(["a", "b", "c"]);
    await expect(next.runner.find(plan.requestId)?.result).resolves.toEqual({ ok: true });
    next.close();
  });

  for (const moment of moments) {
    test(`${moment} of the commit: what it makes final and the journal agree`, async () => {
      const world = new Set<string>();
      const committed: string[] = [];
      const executors = {
        put: {
          run: async (step, context) => {
            world.add(step.args.key);
            if (step.args.key === "c") context.commit(() => void committed.push("c"));
          },
          undo: async (step) => void world.delete(step.args.key),
        },
      } satisfies Executors<Put>;
      const stuck = start(world, {
        executors,
        boundary: async (_operation, at, when) => {
          if (at === 2 && when === moment) await never;
        },
      });
      stuck.runner.start(planOf(), { timeoutMs: 60_000 });
      await expect.poll(() => world.size).toBe(moment === "before-run" ? 2 : 3);
      stuck.close();

      const next = start(world, { executors });
      await next.runner.recover();
      expect(world.size).toBe(committed.length === 1 ? 3 : 0);
      next.close();
    });
  }

  test("in the middle of an undo: the next start goes on with it", async () => {
    const world = new Set<string>();
    const stuck = start(world, {
      boundary: async (_operation, at, when) => {
        if (at === 2 && when === "after-run") throw new Error("refused");
        if (at === 1 && when === "before-undo") await never;
      },
    });
    const plan = planOf();
    stuck.runner.start(plan, { timeoutMs: 60_000 });
    await expect.poll(() => [...world]).toEqual(["a", "b"]);
    stuck.close();

    const next = start(world);
    await next.runner.recover();
    expect(world.size).toBe(0);
    await expect(next.runner.find(plan.requestId)?.result).rejects.toThrow("refused");
    next.close();
  });
});
