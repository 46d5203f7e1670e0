import { randomUUID } from "node:crypto";
import type { SnapshotHeader } from "../../../../src/datastore/snapshot/header.ts";

/** All of a header but what leads to its keys. */
export function aHeader(changes: Partial<SnapshotHeader> = {}): Omit<SnapshotHeader, "key"> {
  return {
    id: randomUUID(),
    cluster: { id: "c-1", epoch: 3 },
    node: "n1",
    engine: "sqlite",
    revision: 42,
    keys: 2,
    createdAt: 1_700_000_000_000,
    versions: { k8sd: "0.1.0", kubernetes: "v1.36.3" },
    ...changes,
  };
}
