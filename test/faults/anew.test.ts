import { describe, expect, test } from "vitest";
import { sharedByCases } from "./anew.ts";

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
