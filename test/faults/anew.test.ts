import { describe, expect, test } from "vitest";
import { sharedByCases } from "./anew.ts";
import { createShared } from "./shared.ts";

describe("what cases share", () => {
  const told: string[] = [];
  let made = 0;
  sharedByCases({
    make: async (stack) => {
      made += 1;
      const count = made;
      told.push(`made ${count}`);
      stack.defer(() => void told.push(`ended ${count}`));
    },
    hosts: () => [undefined],
  });

  test("is there for the first of them", () => {
    expect(told).toEqual(["made 1"]);
  });

  test("is the same for the next", () => {
    expect(told).toEqual(["made 1"]);
  });

  test.fails("goes when one of them fails", () => {
    expect(told).toEqual([]);
  });

  test("is made anew for the one after that", () => {
    expect(told).toEqual(["made 1", "ended 1", "made 2"]);
  });
});

describe("what cases share with its fault points", () => {
  const told: string[] = [];
  let made = 0;
  const shared = createShared(async () => {
    made += 1;
    const count = made;
    const unused = async () => {};
    const points = { hold: unused, fail: unused, reached: unused, release: unused };
    return {
      count,
      hosts: [],
      points: { ...points, clear: async () => void told.push(`cleared ${count}`) },
      [Symbol.asyncDispose]: async () => void told.push(`ended ${count}`),
    };
  });

  test("is there for the first of them", () => {
    expect(shared().count).toBe(1);
  });

  test("is the same for the next, without the points of the one before", () => {
    expect([shared().count, ...told]).toEqual([1, "cleared 1"]);
  });

  test.fails("goes when one of them fails", () => {
    expect(shared().count).toBe(3);
  });

  test("is made anew for the one after that", () => {
    expect([shared().count, ...told]).toEqual([2, "cleared 1", "cleared 1", "ended 1"]);
  });
});
