import { describe, expect, test } from "vitest";
import { type JoinInput, planJoin } from "../../../src/cluster/join/plan.ts";
import { skewOf } from "../../../src/cluster/join/prepare.ts";
import { createNodeKey, nodeIdOf } from "../../../src/cluster/node-key.ts";
import { createRoster, type KnownMember } from "../../../src/cluster/roster.ts";
import { generateKey } from "../../../src/pki/keys.ts";
import { aBootstrapInput } from "../../support/bootstrap-input.ts";

const via = { fingerprint: "", addresses: [], apiServers: [] };

function aWorker(kubernetes: boolean): JoinInput {
  const input = aBootstrapInput({ kubernetes });
  const datastore = { engine: "external", endpoints: [], ca: false, clientCertificate: false } as const;
  return { ...input, via, skewMs: 0, view: { ...input.view, role: "worker", datastore } };
}

function aControlPlane(kubernetes: boolean): JoinInput {
  const input = aBootstrapInput({ kubernetes });
  const initialCluster = { state: "existing", peers: {} } as const;
  const datastore = { engine: "etcd", endpoints: [], clientPort: 2379, peerPort: 2380, initialCluster } as const;
  return { ...input, via, skewMs: 0, view: { ...input.view, datastore } };
}

const started = (input: JoinInput) =>
  planJoin(input, "r").steps.flatMap((step) => (step.kind === "start-services" ? [step.args.services] : []));

describe("the plan of a join", () => {
  test("takes its place first and becomes a member last, and that cannot be undone", () => {
    for (const input of [aWorker(true), aWorker(false), aControlPlane(true), aControlPlane(false)]) {
      const { steps, commit } = planJoin(input, "r");
      expect(steps[0]?.kind).toBe("announce");
      expect(steps[commit]?.kind).toBe("admit");
      expect(commit).toBe(steps.length - 1);
    }
  });

  test("a worker runs what a worker runs", () => {
    expect(started(aWorker(true))).toEqual([
      ["containerd", "k8s-apiserver-proxy"],
      ["kubelet", "kube-proxy"],
    ]);
    expect(started(aWorker(false))).toEqual([]);
  });

  test("a control plane is a voting member of etcd before anything needs the datastore", () => {
    const kinds = planJoin(aControlPlane(true), "r").steps.map(({ kind }) => kind);
    expect(kinds.indexOf("join-datastore")).toBeGreaterThan(kinds.indexOf("install-services"));
    expect(kinds.indexOf("join-datastore")).toBeLessThan(kinds.indexOf("start-services"));
    expect(started(aControlPlane(true)).flat()).not.toContain("etcd");
    expect(started(aControlPlane(false))).toEqual([]);
  });
});

describe("the clock of a node that joins", () => {
  test("is as far off as the question and its answer prove", () => {
    expect(skewOf(10_000, 9_000, 11_000)).toBe(0);
    expect(skewOf(17_000, 9_000, 11_000)).toBe(6_000);
    expect(skewOf(2_000, 9_000, 11_000)).toBe(-7_000);
  });

  test("is not wrong because the cluster let it wait for the answer", () => {
    expect(skewOf(49_400, 9_000, 49_500)).toBe(0);
    expect(skewOf(9_100, 9_000, 49_500)).toBe(0);
  });

  test.each([
    [400_000, /389 s behind the cluster's/],
    [-400_000, /409 s ahead of the cluster's/],
  ])("%i ms off, certificates would not be valid", (theirs, said) => {
    expect(() => skewOf(theirs, 9_000, 11_000)).toThrow(said);
  });
});

describe("a node's id", () => {
  test("follows from its key and is a UUID", () => {
    const key = generateKey();
    const { id, fingerprint } = createNodeKey(key);
    expect(createNodeKey(key).id).toBe(id);
    expect(nodeIdOf(fingerprint)).toBe(id);
    expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    expect(createNodeKey(generateKey()).id).not.toBe(id);
  });
});

describe("the roster", () => {
  const member = (
    id: string,
    state: KnownMember["state"],
    role: KnownMember["role"] = "control-plane",
  ): KnownMember => ({
    id,
    name: id,
    role,
    state,
    addresses: [],
    k8sdAddress: "",
    publicKeyFingerprint: `key of ${id}`,
    podCidrs: [],
    changedAt: 0,
  });

  test("trusts itself and who is in or on the way out, nobody who is not in yet; workers apart from control planes", () => {
    const roster = createRoster("own", { read: () => [], write: () => {} }, Date.now);
    expect([...roster.keys()]).toEqual(["own"]);
    roster.replace([member("a", "active"), member("l", "leaving"), member("j", "joining"), member("r", "reserved")]);
    expect([...roster.keys()].sort()).toEqual(["key of a", "key of l", "own"]);
    roster.replace([
      member("a", "active", "worker"),
      member("j", "joining", "worker"),
      member("l", "leaving", "worker"),
    ]);
    expect([...roster.keys()]).toEqual(["own"]);
    expect([...roster.workerKeys()].sort()).toEqual(["key of a", "key of l"]);
    roster.replace([]);
    expect([...roster.keys(), ...roster.workerKeys()]).toEqual(["own"]);
  });

  test("takes nothing from a ledger of a later epoch than its own: that may not know where who moved is now", async () => {
    const roster = createRoster("own", { read: () => [], write: () => {} }, Date.now);
    const at = (address: string) => ({ ...member("a", "active"), addresses: [address] });
    const record = { ...at("10.0.0.1"), incarnation: 1, versions: {}, revision: 5 };
    const ledger = {
      async *changes() {
        const cluster = { id: "c", epoch: 2, createdAt: 0 };
        yield { kind: "snapshot" as const, revision: 5, cluster, members: [record], forgotten: [] };
      },
    };
    const follow = (epoch: number) =>
      roster.follow(ledger, { podCidrs: () => [], seen: () => {}, epoch }, AbortSignal.timeout(1_000));
    roster.replace([at("10.0.0.151")]);
    await expect(follow(1)).rejects.toThrow("it is of epoch 2, and this node is still in epoch 1");
    expect(roster.members()).toMatchObject([{ addresses: ["10.0.0.151"] }]);
    await follow(2);
    expect(roster.members()).toMatchObject([{ addresses: ["10.0.0.1"] }]);
  });
});
