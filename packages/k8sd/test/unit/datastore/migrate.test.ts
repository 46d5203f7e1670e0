import { inFlight, parts, takeBatch } from "@k8sd/k8sd/datastore/migrate/batches.ts";
import { createFingerprint, sameOrder } from "@k8sd/k8sd/datastore/migrate/fingerprint.ts";
import { lifeInCopy } from "@k8sd/k8sd/datastore/migrate/leases.ts";
import { describe, expect, test } from "vitest";

const write = (size: number) => ({ key: Buffer.from("k"), value: Buffer.alloc(size) });

describe("batches of a copy", () => {
  test("stay below etcd's limits", () => {
    expect(takeBatch(Array.from({ length: 300 }, () => write(1)))).toHaveLength(100);
    expect(takeBatch(Array.from({ length: 5 }, () => write(400_000)))).toHaveLength(2);
  });

  test("take a value that is too large for others alone", () => {
    expect(takeBatch([write(1_500_000), write(1)])).toHaveLength(1);
    expect(takeBatch([])).toEqual([]);
  });
});

describe("work in flight", () => {
  test("is each of it once, and no more at a time than wanted", async () => {
    const done: number[] = [];
    let [now, most] = [0, 0];
    await inFlight(3, [1, 2, 3, 4, 5, 6, 7], async (item) => {
      now += 1;
      most = Math.max(most, now);
      await Promise.resolve();
      done.push(item);
      now -= 1;
    });
    expect([done, most]).toEqual([[1, 2, 3, 4, 5, 6, 7], 3]);
  });

  test("ends with the first failure, and nothing more is begun", async () => {
    const begun: number[] = [];
    const work = async (item: number): Promise<void> => {
      begun.push(item);
      await Promise.resolve();
      if (item === 1) throw new Error("first");
    };
    await expect(inFlight(2, [1, 2, 3, 4, 5, 6], work)).rejects.toThrow("first");
    expect(begun.length).toBeLessThan(5);
  });

  test("is in parts that are all of the list", () => {
    expect([...parts([1, 2, 3, 4, 5], 2)]).toEqual([[1, 2], [3, 4], [5]]);
  });
});

describe("the order of changes", () => {
  test("joined changes are in order", () => {
    expect(sameOrder([5, 3, 9], [20, 20, 21])).toBe(true);
  });

  test("two that changed places are found", () => {
    expect(sameOrder([5, 3, 9], [20, 21, 22])).toBe(false);
  });

  test("changes of one revision may come in any order, but not after later ones", () => {
    expect(sameOrder([4, 4, 6], [12, 11, 13])).toBe(true);
    expect(sameOrder([4, 4, 6], [11, 13, 12])).toBe(false);
  });

  test("a missing key is found", () => {
    expect(sameOrder([1, 2], [1])).toBe(false);
  });
});

describe("the hash of a copy", () => {
  const kv = { createRevision: 1, modRevision: 1, version: 1, lease: 0n };
  const hashOf = (...kvs: { key: string; value: string; lease?: bigint }[]) => {
    const fingerprint = createFingerprint();
    for (const { key, value, lease } of kvs) {
      fingerprint.add({ ...kv, lease: lease ?? 0n, key: Buffer.from(key), value: Buffer.from(value) });
    }
    return fingerprint.result().hash;
  };

  test("tells where a key ends and its value begins, and the lease", () => {
    const hashes = [
      hashOf({ key: "ab", value: "c" }),
      hashOf({ key: "a", value: "bc" }),
      hashOf({ key: "ab", value: "c", lease: 1n }),
      hashOf({ key: "a", value: "" }, { key: "b", value: "c" }),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(hashOf({ key: "ab", value: "c" })).toBe(hashes[0]);
  });
});

describe("a lease in the copy", () => {
  test("that may be renewed keeps what a renewal gives it", () => {
    expect(lifeInCopy({ secondsLeft: 7, grantedSeconds: 10 })).toBe(10);
  });

  test("that nobody renewed in time keeps what is left", () => {
    expect(lifeInCopy({ secondsLeft: 900, grantedSeconds: 3600 })).toBe(900);
  });

  test("that has ended ends soon", () => {
    expect(lifeInCopy({ secondsLeft: -1, grantedSeconds: 0 })).toBe(1);
  });
});
