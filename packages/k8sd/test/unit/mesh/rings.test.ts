import { describe, expect, test } from "vitest";
import { nextOnRings } from "../../../src/mesh/rings.ts";

const rings = 6;

function place(index: number): { id: string; hash: number } {
  return { id: `node-${index}`, hash: Math.imul(index + 1, 0x9e3779b1) >>> 0 };
}

function watchedBy(count: number): Map<string, readonly string[]> {
  const places = Array.from({ length: count }, (_, index) => place(index));
  return new Map(
    places.map(({ id, hash }) => [
      id,
      nextOnRings(
        hash,
        places.filter((other) => other.id !== id),
        rings,
      ),
    ]),
  );
}

describe("whom a node of a large cluster watches", () => {
  test("nobody where it is alone, the other one where there are two", () => {
    expect(nextOnRings(7, [], rings)).toEqual([]);
    expect(nextOnRings(7, [place(1)], rings)).toEqual(["node-1"]);
  });

  test("everybody is watched, and nobody by or of more than there are rings", () => {
    const watched = watchedBy(300);
    const watchers = new Map<string, number>();
    for (const ids of watched.values()) for (const id of ids) watchers.set(id, (watchers.get(id) ?? 0) + 1);
    expect(watchers.size).toBe(300);
    expect(Math.min(...watchers.values())).toBeGreaterThanOrEqual(rings - 2);
    expect(Math.max(...watchers.values())).toBeLessThanOrEqual(rings);
    expect(Math.max(...[...watched.values()].map((ids) => ids.length))).toBeLessThanOrEqual(rings);
  });

  test("a node that comes in changes one of the others' links on each ring at most", () => {
    const before = watchedBy(300);
    const after = watchedBy(301);
    const changed = [...before].filter(([id, ids]) => ids.some((other) => !after.get(id)?.includes(other)));
    expect(changed.length).toBeLessThanOrEqual(rings);
    expect([...after.values()].some((ids) => ids.includes("node-300"))).toBe(true);
  });

  test("all are reached from any one by following who watches whom", () => {
    const watched = watchedBy(300);
    const reached = new Set(["node-0"]);
    for (const id of reached) for (const next of watched.get(id) ?? []) reached.add(next);
    expect(reached.size).toBe(300);
  });
});
