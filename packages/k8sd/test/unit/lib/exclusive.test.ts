import { expect, test } from "vitest";

import { createExclusive } from "../../../src/lib/exclusive.ts";

const signal = AbortSignal.timeout(10_000);

test("work under one key runs one after the other in the order of the calls, also after a failure", async () => {
  const exclusive = createExclusive();
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const work = (name: string, until: Promise<void> = Promise.resolve()) =>
    exclusive.run("k", signal, async () => {
      order.push(`${name} starts`);
      await until;
      order.push(`${name} ends`);
      if (name === "a") throw new Error("a failed");
    });
  const all = Promise.allSettled([work("a", gate.promise), work("b"), work("c")]);
  gate.resolve();
  expect((await all).map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  expect(order).toEqual(["a starts", "a ends", "b starts", "b ends", "c starts", "c ends"]);
});

test("different keys do not wait for each other", async () => {
  const exclusive = createExclusive();
  const gate = Promise.withResolvers<void>();
  const slow = exclusive.run("a", signal, () => gate.promise);
  expect(await exclusive.run("b", signal, async () => "done")).toBe("done");
  gate.resolve();
  await slow;
});

test("a waiting caller that gives up never runs, and those behind it still wait for the one before it", async () => {
  const exclusive = createExclusive();
  const gate = Promise.withResolvers<void>();
  const order: string[] = [];
  const first = exclusive.run("k", signal, async () => {
    await gate.promise;
    order.push("first");
  });
  const abort = new AbortController();
  const second = exclusive.run("k", abort.signal, async () => void order.push("second"));
  const third = exclusive.run("k", signal, async () => void order.push("third"));
  abort.abort(new Error("given up"));
  await expect(second).rejects.toThrow("given up");
  gate.resolve();
  await Promise.all([first, third]);
  expect(order).toEqual(["first", "third"]);
});
