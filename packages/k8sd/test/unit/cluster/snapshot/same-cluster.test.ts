import { describe, expect, test } from "vitest";
import { sameCluster } from "../../../../src/cluster/snapshot/restore-prepare.ts";

const pki = { "ca-crt": "ca", "client-ca-crt": "client", "service-account-key": "key" };
const onOwn = { ...pki, "etcd-ca-crt": "etcd" };
const onTheirs = { ...pki, "datastore-ca-crt": "theirs" };
const clusterId = "one";

const same = (saved: object, own: object, id = clusterId): boolean =>
  sameCluster(
    { cluster: { id, name: "", createdAt: 0, epoch: 1 } as never, secrets: { pki: saved, sealKey: "" } },
    { pki: own, clusterId },
  );

describe("a snapshot is of this node's cluster", () => {
  test.each([
    ["as it is", onOwn, onOwn],
    ["from before it left an etcd of somebody else", onTheirs, onOwn],
    ["from before it went to one", onOwn, { ...onOwn, "datastore-ca-crt": "theirs" }],
  ])("%s", (_when, saved, own) => {
    expect(same(saved, own)).toBe(true);
  });

  test.each([
    ["other authorities", { ...onOwn, "ca-crt": "other" }, onOwn],
    ["another authority of its engines", { ...onOwn, "etcd-ca-crt": "other" }, onOwn],
    ["no authority but that of its engines", { "etcd-ca-crt": "etcd" }, onOwn],
    ["another key of service accounts", { ...onTheirs, "service-account-key": "other" }, onOwn],
  ])("not with %s", (_what, saved, own) => {
    expect(same(saved, own)).toBe(false);
  });

  test("not by its authorities alone", () => {
    expect(same(onOwn, onOwn, "another")).toBe(false);
  });
});
