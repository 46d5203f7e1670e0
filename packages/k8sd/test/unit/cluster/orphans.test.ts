import { describe, expect, test } from "vitest";
import { type ClusterView, dueOf, findOrphans, type Orphan, sight } from "../../../src/cluster/orphans/find.ts";
import type { Member } from "../../../src/datastore/datastore.ts";
import type { Node } from "../../../src/kube/resources.ts";

type Record = ClusterView["members"][number];

const record = (name: string, address: string, over: Partial<Record> = {}): Record => ({
  name,
  role: "control-plane",
  state: "active",
  addresses: [address],
  ...over,
});

const etcdMember = (id: bigint, name: string, address: string): Member => ({
  id,
  name,
  peerUrls: [`https://${address}:2380`],
  clientUrls: [],
  isLearner: name === "",
});

const node = (
  name: string,
  ready: "True" | "Unknown",
  labels: Node["metadata"] = { labels: { "k8sd.io/role": "worker" } },
): Node => ({
  metadata: { name, uid: `uid-${name}`, ...labels },
  status: { conditions: [{ type: "Ready", status: ready }] },
});

const names = (found: readonly Orphan[]) => found.map(({ name }) => name);
const inEtcd = (members: readonly Record[], ...etcd: Member[]) =>
  names(findOrphans({ members, etcd: { peerPort: 2380, members: etcd, self: 1n } }).orphans);
const inKubernetes = (members: readonly Record[], ...nodes: Node[]) => findOrphans({ members, nodes });

describe("a member of etcd", () => {
  const n1 = record("n1", "10.0.0.1");
  const self = etcdMember(1n, "n1", "10.0.0.1");

  test("belongs to the control plane at its address, whatever its state", () => {
    for (const state of ["reserved", "joining", "active", "leaving"] as const) {
      expect(inEtcd([n1, record("n2", "10.0.0.2", { state })], self, etcdMember(2n, "", "10.0.0.2"))).toEqual([]);
    }
  });

  test("belongs to nobody when its node was removed, is a worker, or was never in", () => {
    const gone = [record("n2", "10.0.0.2", { state: "removed" }), record("n3", "10.0.0.3", { role: "worker" })];
    const etcd = [etcdMember(2n, "n2", "10.0.0.2"), etcdMember(3n, "n3", "10.0.0.3"), etcdMember(4n, "", "10.0.0.4")];
    expect(inEtcd([n1, ...gone], self, ...etcd)).toEqual(["n2", "n3", "https://10.0.0.4:2380"]);
  });

  test("belongs by its name to a control plane that moves, before and after the ledger was told", () => {
    expect(inEtcd([n1, record("n2", "10.0.0.2")], self, etcdMember(2n, "n2", "10.0.0.22"))).toEqual([]);
    expect(inEtcd([n1, record("n2", "10.0.0.22")], self, etcdMember(2n, "n2", "10.0.0.2"))).toEqual([]);
  });

  test("that an earlier node of this name left is not the new one's", () => {
    const [old, now] = [etcdMember(2n, "n2", "10.0.0.2"), etcdMember(3n, "n2", "10.0.0.22")];
    const orphans = findOrphans({
      members: [n1, record("n2", "10.0.0.22")],
      etcd: { peerPort: 2380, members: [self, old, now], self: 1n },
    }).orphans;
    expect(orphans).toEqual([{ kind: "etcd-member", id: "2", name: "n2" }]);
  });

  test("that looks is never its own orphan, and IPv6 is no other address", () => {
    expect(inEtcd([], self)).toEqual([]);
    expect(inEtcd([n1, record("n2", "fd00::2")], self, etcdMember(2n, "", "[fd00::2]"))).toEqual([]);
  });
});

describe("a Kubernetes Node", () => {
  test("belongs to the member with its name, whatever its state but removed", () => {
    const members = [record("w1", "10.0.0.5", { state: "joining" }), record("w2", "10.0.0.6", { state: "removed" })];
    const found = inKubernetes(members, node("w1", "Unknown"), node("w2", "Unknown"));
    expect(found).toEqual({ orphans: [{ kind: "node", id: "uid-w2", name: "w2" }], spared: [] });
  });

  test("that somebody else made is left alone and named", () => {
    const found = inKubernetes(
      [],
      node("virtual", "Unknown", { labels: { type: "virtual-kubelet" } }),
      node("bare", "True", {}),
    );
    expect(found.orphans).toEqual([]);
    expect(found.spared).toEqual([
      { name: "virtual", why: "foreign" },
      { name: "bare", why: "foreign" },
    ]);
  });

  test("whose kubelet reports is left alone and named", () => {
    expect(inKubernetes([], node("w9", "True"))).toEqual({ orphans: [], spared: [{ name: "w9", why: "alive" }] });
  });
});

describe("patience", () => {
  const orphan: Orphan = { kind: "node", id: "uid", name: "w1" };

  test("is over after three rounds and half a minute, not before", () => {
    let seen = sight(new Map(), [orphan], 0);
    expect(dueOf(seen, 60_000)).toEqual([]);
    seen = sight(seen, [orphan], 1);
    seen = sight(seen, [orphan], 2);
    expect(dueOf(seen, 29_999)).toEqual([]);
    expect(dueOf(seen, 30_000)).toEqual([orphan]);
  });

  test("begins anew for one that was owned in between, and for another one under the same name", () => {
    let seen = sight(new Map(), [orphan], 0);
    seen = sight(sight(seen, [orphan], 1), [], 2);
    seen = sight(sight(sight(seen, [orphan], 40_000), [orphan], 40_001), [{ ...orphan, id: "new" }], 80_000);
    expect(dueOf(seen, 80_000)).toEqual([]);
  });
});
