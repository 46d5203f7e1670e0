import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { createTurns } from "../../../src/datastore/engine/turns.ts";

const long = 300 * 1024;

/** Answers that tell their names, each as long as it is said. */
function setUp() {
  const turns = createTurns();
  const told: string[] = [];
  const answer =
    (name: string, bytes = 10) =>
    () => {
      told.push(name);
      turns.sent(bytes);
    };
  return { turns, told, answer };
}

test("short answers are given at once", () => {
  const { turns, told, answer } = setUp();
  const turn = turns.join(() => true);
  for (const name of ["a", "b", "c"]) turn.run(answer(name));
  expect(told).toEqual(["a", "b", "c"]);
});

test("after a long answer the event loop turns, and connections are served one after the other, each in its order", async () => {
  const { turns, told, answer } = setUp();
  const [first, second] = [turns.join(() => true), turns.join(() => true)];
  for (const name of ["a1", "a2", "a3"]) first.run(answer(name, long));
  for (const name of ["b1", "b2"]) second.run(answer(name, long));
  expect(told).toEqual(["a1"]);
  await nextTurn();
  expect(told).toEqual(["a1", "a2"]);
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  expect(told).toEqual(["a1", "a2", "b1", "a3", "b2"]);
});

test("a connection whose peer does not take its answers waits alone, until it does or ends", async () => {
  const { turns, told, answer } = setUp();
  let ready = false;
  const slow = turns.join(() => ready);
  const quick = turns.join(() => true);
  slow.run(answer("slow 1"));
  slow.run(answer("slow 2"));
  quick.run(answer("quick"));
  slow.relieved();
  expect(told).toEqual(["quick"]);
  ready = true;
  slow.relieved();
  expect(told).toEqual(["quick", "slow 1", "slow 2"]);

  ready = false;
  slow.run(answer("never"));
  slow.leave();
  ready = true;
  slow.relieved();
  quick.run(answer("last"));
  await nextTurn();
  expect(told.slice(3)).toEqual(["last"]);
});

test("an answer that relieves its connection at once takes no other's place", async () => {
  const { turns, told, answer } = setUp();
  let ready = false;
  const turn = turns.join(() => ready);
  for (const name of ["a", "b", "c"]) {
    turn.run(() => {
      answer(name, long)();
      turn.relieved();
    });
  }
  ready = true;
  turn.relieved();
  expect(told).toEqual(["a"]);
  await expect.poll(() => told).toEqual(["a", "b", "c"]);
});
