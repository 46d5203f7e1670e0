import { describe, expect, test } from "vitest";
import {
  checkedDirectory,
  outdated,
  type StoredSnapshot,
  snapshotName,
} from "../../../../src/cluster/snapshot/folder.ts";
import { decodeClusterSecrets, encodeClusterSecrets } from "../../../../src/cluster/snapshot/secrets.ts";

function stored(name: string, createdAt: number, clusterId = "ours"): StoredSnapshot {
  const header = {
    id: "00000000-0000-4000-8000-000000000000",
    cluster: { id: clusterId, epoch: 1 },
    node: "n1",
    engine: "sqlite",
    revision: 1,
    keys: 1,
    createdAt,
    versions: {},
    key: { id: "", ephemeral: "" },
  } as const;
  return { name, path: `/s/${name}`, bytes: 1, header };
}

describe("snapshots in a directory", () => {
  test("have names in the order of their time", () => {
    const names = [1_700_000_000_000, 1_700_000_001_000, 1_800_000_000_000].map((at) =>
      snapshotName(at, "abcdefghijk"),
    );
    expect(names[0]).toBe("20231114T221320Z-abcdefgh.k8s-snapshot");
    expect(names.toSorted()).toEqual(names);
  });

  test("of the cluster go when they are too many, the oldest first", () => {
    const all = [stored("a", 1), stored("c", 3), stored("b", 2)];
    const names = (keep: number) => outdated(all, { clusterId: "ours", keep }).map(({ name }) => name);
    expect(names(2)).toEqual(["a"]);
    expect(names(1)).toEqual(["b", "a"]);
    expect(names(3)).toEqual([]);
    expect(names(0)).toEqual([]);
  });

  test("of another cluster, and what cannot be read, stay and do not count", () => {
    const broken = { name: "x", path: "/s/x", bytes: 3, problem: "its header is damaged" };
    const all = [broken, stored("other", 0, "theirs"), stored("a", 1), stored("b", 2)];
    expect(outdated(all, { clusterId: "ours", keep: 1 }).map(({ name }) => name)).toEqual(["a"]);
  });

  test("need an absolute path", () => {
    expect(checkedDirectory("/a/../b")).toBe("/b");
    expect(() => checkedDirectory("a")).toThrow("it is no absolute path");
  });
});

test("secrets come back, and those of another format are refused", () => {
  const secrets = { pki: { "ca-crt": "c", "ca-key": "k" }, sealKey: "czE=" };
  expect(decodeClusterSecrets(encodeClusterSecrets(secrets))).toEqual(secrets);
  expect(() => decodeClusterSecrets('{"version":2,"pki":{},"sealKey":""}')).toThrow("are of another format");
});
