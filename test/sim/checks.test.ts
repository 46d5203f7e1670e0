import { describe, expect, test } from "vitest";
import { runScenario } from "./scenario.ts";
import type { Mutation } from "./world.ts";

/** Each is one fault in the protocol, and what the simulation has to say of it within a few seeds. */
const faults: Readonly<Record<Mutation, RegExp>> = {
  "deaf to suspicion": /which lives/,
  "believes every author": /no control plane published|shows other records/,
  "forgets its replica": /goes back|went back/,
  "never pulls": /the ledger at/,
  "silent leave": /which has left/,
  "ghosts answer": /has not found/,
};

describe("the simulation finds a protocol that", () => {
  for (const [mutation, expected] of Object.entries(faults)) {
    test(mutation, () => {
      const said: string[] = [];
      for (let seed = 0; seed < 20 && !said.some((text) => expected.test(text)); seed++) {
        said.push(...runScenario(seed, mutation as Mutation).violations);
      }
      expect(said.join("\n")).toMatch(expected);
    });
  }
});

test("the same seed is the same run", () => {
  expect(runScenario(3)).toEqual(runScenario(3));
});
