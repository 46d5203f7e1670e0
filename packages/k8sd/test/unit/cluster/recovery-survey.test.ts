import type { DatastoreCopy } from "@k8sd/api-types";
import { describe, expect, test } from "vitest";
import { latestOf } from "../../../src/cluster/recover/follow-epoch.ts";
import { type Answer, comesAfter, planRecovery } from "../../../src/cluster/recover/survey.ts";

const recovery = (id: string, index = 10, term = 2) => ({ id, by: "n1", term, index, at: 0 });

function copy(name: string, change: Partial<DatastoreCopy> = {}): DatastoreCopy {
  return {
    id: `id-${name}`,
    name,
    cluster: { id: "c", epoch: 1 },
    addresses: ["192.0.2.1"],
    engine: "etcd",
    log: { term: 3, index: 100 },
    quorum: false,
    rejoining: false,
    now: 0,
    ...change,
  };
}

const answered = (name: string, change: Partial<DatastoreCopy> = {}): Answer => ({
  name,
  address: `${name}:6400`,
  copy: copy(name, change),
});
const silent = (name: string): Answer => ({ name, address: `${name}:6400`, problem: "no answer within 5 s" });
const plan = (self: DatastoreCopy, ...others: Answer[]) =>
  planRecovery({ self, address: "n1:6400", others, backups: "/etcd" });

describe("a recovery", () => {
  test("keeps this node's copy when the others are silent, and begins the next epoch", () => {
    expect(plan(copy("n1"), silent("n2"), silent("n3"))).toEqual({
      keeps: "n1",
      epoch: { from: 1, to: 2 },
      members: [
        { name: "n1", address: "n1:6400", self: true, log: { term: 3, index: 100 } },
        { name: "n2", address: "n2:6400", self: false, problem: "no answer within 5 s" },
        { name: "n3", address: "n3:6400", self: false, problem: "no answer within 5 s" },
      ],
      rejoin: ["n2", "n3"],
      backup: "/etcd/before-epoch-2-of-n1",
    });
  });

  test("goes beyond the epoch of whoever was recovered before", () => {
    const old = answered("n2", { cluster: { id: "c", epoch: 1 } });
    expect(plan(copy("n1", { cluster: { id: "c", epoch: 4 } }), old, silent("n3")).epoch).toEqual({ from: 4, to: 5 });
  });

  const cases: [string, DatastoreCopy, Answer[], RegExp, boolean][] = [
    ["there is a quorum", copy("n1", { quorum: true }), [silent("n2")], /has its quorum and works/, false],
    ["it is sqlite", copy("n1", { engine: "sqlite" }), [], /in sqlite on this node alone/, false],
    ["the datastore is somebody else's", copy("n1", { engine: "external" }), [], /not managed/, false],
    [
      "another one is in a cluster that works",
      copy("n1"),
      [answered("n2", { quorum: true }), silent("n3")],
      /n2 is in a cluster that works, in epoch 1/,
      false,
    ],
    [
      "another one was recovered already",
      copy("n1"),
      [answered("n2", { cluster: { id: "c", epoch: 2, recovery: recovery("a") } }), silent("n3")],
      /n2 is in a cluster that works, in epoch 2/,
      false,
    ],
    [
      "another one has a newer term",
      copy("n1"),
      [answered("n2", { log: { term: 4, index: 90 } }), silent("n3"), silent("n4"), silent("n5")],
      /n2 has more than this node \(entry 90 against 100\)/,
      true,
    ],
    [
      "another one has a longer log",
      copy("n1"),
      [answered("n2", { log: { term: 3, index: 101 } }), silent("n3"), silent("n4"), silent("n5")],
      /n2 has more than this node/,
      true,
    ],
    [
      "as many have the data as make a quorum",
      copy("n1"),
      [answered("n2"), silent("n3")],
      /n1, n2 hold the data/,
      true,
    ],
    ["it is the only one there is", copy("n1"), [], /1 of 1 are enough/, true],
  ];
  test.each(cases)("is refused when %s", (_name, self, others, message, forceable) => {
    const { refusal } = plan(self, ...others);
    expect(refusal?.message).toMatch(message);
    expect(refusal?.remedy).not.toBe("");
    expect(refusal?.forceable).toBe(forceable);
  });

  test("is refused on a node without data, whose name another one is told", () => {
    const { log: _none, ...empty } = copy("n1");
    expect(plan(empty, silent("n2"), silent("n3")).refusal?.message).toMatch(/holds no copy/);
  });

  test("does not count those of another cluster, nor those that have nothing", () => {
    const { log: _none, ...empty } = copy("n2");
    const others = [
      { name: "n2", address: "n2:6400", copy: empty },
      answered("x", { cluster: { id: "other", epoch: 9 } }),
    ];
    expect(plan(copy("n1"), ...others, silent("n3")).refusal).toBeUndefined();
  });
});

describe("of two clusters that were one", () => {
  const first = { id: "c", epoch: 1 };
  const second = { id: "c", epoch: 2, recovery: recovery("a") };

  test("the one with the higher epoch comes after the other, and strangers never do", () => {
    expect([comesAfter(second, first), comesAfter(first, second), comesAfter(second, second)]).toEqual([
      true,
      false,
      false,
    ]);
    expect(comesAfter({ ...second, id: "other" }, first)).toBe(false);
  });

  test("recovered apart to the same epoch, both sides choose the one that was made of more, then by its id", () => {
    const pairs = [
      [
        { ...second, recovery: recovery("a", 11) },
        { ...second, recovery: recovery("b", 10) },
      ],
      [
        { ...second, recovery: recovery("b", 11) },
        { ...second, recovery: recovery("a", 10) },
      ],
      [
        { ...second, recovery: recovery("b", 5, 3) },
        { ...second, recovery: recovery("a", 10, 2) },
      ],
      [
        { ...second, recovery: recovery("a") },
        { ...second, recovery: recovery("b") },
      ],
    ] as const;
    for (const [winner, loser] of pairs) {
      expect(comesAfter(winner, loser)).toBe(true);
      expect(comesAfter(loser, winner)).toBe(false);
    }
  });

  test("a node yields to the last one that works and can take it in", () => {
    const self = { id: "id-n1", clusterId: "c", view: {} } as unknown as Parameters<typeof latestOf>[0];
    const at = (name: string, epoch: number, change: Partial<DatastoreCopy> = {}) =>
      answered(name, { cluster: { id: "c", epoch, recovery: recovery(name) }, quorum: true, ...change });
    expect(latestOf(self, [silent("n2"), answered("n3", { quorum: true })])).toBeUndefined();
    expect(latestOf(self, [at("n2", 2), at("n3", 3)])?.name).toBe("n3");
    expect(latestOf(self, [at("n2", 2), at("n3", 3, { quorum: false })])?.name).toBe("n2");
    expect(latestOf(self, [at("n2", 2, { rejoining: true })])).toBeUndefined();
  });
});
