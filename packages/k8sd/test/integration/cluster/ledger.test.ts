import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { emptyClusterConfig } from "../../../src/cluster/config/types.ts";
import type { LedgerChange } from "../../../src/cluster/ledger-changes.ts";
import {
  aClaim,
  anOrder,
  type ControlPlane,
  createTestCluster,
  root,
  signal,
  start,
  type TestCluster,
} from "./support.ts";

let cluster: TestCluster;
let plane: ControlPlane;

beforeAll(async () => {
  cluster = await createTestCluster();
  plane = cluster.controlPlane();
});
afterAll(() => cluster[Symbol.asyncDispose]());

async function join(name: string) {
  const { secret } = await plane.tokens.create(anOrder(), root, signal());
  const { member } = await plane.admission.reserve(aClaim(secret, name), signal());
  await plane.admission.begin(member.id, signal());
  return plane.admission.commit(member.id, signal());
}

/** Reads changes until one satisfies the predicate; gives all of them. */
async function changesUntil(changes: AsyncIterator<LedgerChange>, done: (change: LedgerChange) => boolean) {
  const seen: LedgerChange[] = [];
  for (;;) {
    const { value, done: ended } = await changes.next();
    if (ended === true) throw new Error("the changes ended");
    seen.push(value);
    if (done(value)) return seen;
  }
}
const shows = (id: string, state: string) => (change: LedgerChange) =>
  change.members.some((member) => member.id === id && member.state === state);

describe("members", () => {
  test("the founder is active and owns the first part of the pod range", async () => {
    expect(await plane.ledger.memberNamed("n1", signal())).toEqual({
      id: "founder",
      name: "n1",
      publicKeyFingerprint: "",
      addresses: ["10.0.0.1"],
      k8sdAddress: "10.0.0.1:6400",
      role: "control-plane",
      state: "active",
      incarnation: 1,
      versions: {},
      podSubnetIndex: 0,
      changedAt: start,
      revision: expect.any(Number),
    });
    expect((await plane.ledger.cluster(signal()))?.id).toBe("cluster");
  });

  test("founding again is no error for the same cluster, and one for another", async () => {
    const { revision: _own, ...founder } = (await plane.ledger.memberNamed("n1", signal())) ?? expect.fail();
    const found = (id: string) =>
      plane.ledger.found(
        { cluster: { id, epoch: 1, createdAt: start }, member: founder, config: emptyClusterConfig() },
        signal(),
      );
    await expect(found("cluster")).resolves.toBeUndefined();
    await expect(found("another")).rejects.toThrow("the datastore holds another one, cluster");
  });

  test("go out in two steps, each of which can be asked for again; then their name is free", async () => {
    const member = await join("leaver");
    await expect(plane.ledger.remove(member.id, 1, signal())).rejects.toThrow(
      "cannot make node leaver removed: it is active",
    );
    const leaving = await plane.ledger.leave(member.id, 1, signal());
    expect(leaving).toMatchObject({ state: "leaving", changedAt: 1 });
    expect(await plane.ledger.leave(member.id, 2, signal())).toEqual(leaving);
    const removed = await plane.ledger.remove(member.id, 3, signal());
    expect(await plane.ledger.remove(member.id, 4, signal())).toEqual(removed);
    expect(removed).not.toHaveProperty("podSubnetIndex");
    expect(await plane.ledger.memberNamed("leaver", signal())).toBeUndefined();
    const { secret } = await plane.tokens.create(anOrder(), root, signal());
    const again = await plane.admission.reserve(aClaim(secret, "leaver"), signal());
    expect(again.member).toMatchObject({ incarnation: 2, podSubnetIndex: member.podSubnetIndex });
  });

  test("of the control planes that go at once, the last is refused", async () => {
    await using other = await createTestCluster();
    const first = other.controlPlane();
    const planes = [first, other.controlPlane(), other.controlPlane()];
    const ids = ["founder"];
    for (const name of ["n2", "n3"]) {
      const { secret } = await first.tokens.create(anOrder({ role: "control-plane", name }), root, signal());
      const claim = aClaim(secret, name, { role: "control-plane" });
      const { member } = await first.admission.reserve(claim, signal());
      await first.admission.begin(member.id, signal());
      ids.push((await first.admission.commit(member.id, signal())).id);
    }
    const left = await Promise.allSettled(
      planes.map(({ ledger }, index) => ledger.leave(ids[index] ?? "", 1, signal())),
    );
    const refused = left.flatMap((result) => (result.status === "rejected" ? [String(result.reason)] : []));
    expect(refused).toEqual([expect.stringMatching(/it is the last control plane/)]);
    const states = (await first.ledger.members(signal())).map(({ state }) => state);
    expect(states.toSorted()).toEqual(["active", "leaving", "leaving"]);
  });

  test("change their addresses without a change of state, and updates at once lose nothing", async () => {
    const member = await join("mover");
    await Promise.all([
      plane.ledger.update(member.id, { addresses: ["10.0.0.77"] }, signal()),
      plane.ledger.update(member.id, { versions: { kubernetes: "1.36" } }, signal()),
      plane.ledger.update(member.id, { k8sdAddress: "10.0.0.77:6400" }, signal()),
    ]);
    expect(await plane.ledger.member(member.id, signal())).toMatchObject({
      state: "active",
      addresses: ["10.0.0.77"],
      k8sdAddress: "10.0.0.77:6400",
      versions: { kubernetes: "1.36" },
    });
    await expect(plane.ledger.update("nobody", {}, signal())).rejects.toMatchObject({ kind: "not-found" });
  });
});

describe("changes", () => {
  test("are a snapshot, then each change, also over a crash of the datastore, until the signal", async () => {
    const stop = new AbortController();
    const changes = plane.ledger.changes({ from: 0, signal: stop.signal })[Symbol.asyncIterator]();
    const [snapshot] = await changesUntil(changes, () => true);
    expect(snapshot).toMatchObject({ kind: "snapshot", cluster: { id: "cluster" }, forgotten: [] });
    expect(snapshot?.config?.network["pod-cidr"]).toBe("10.1.0.0/16");
    expect(snapshot?.members.map(({ id }) => id)).toContain("founder");

    const member = await join("watched");
    const seen = await changesUntil(changes, shows(member.id, "active"));
    const states = seen.flatMap((change) => change.members).filter(({ id }) => id === member.id);
    expect(seen.every(({ kind }) => kind === "change")).toBe(true);
    const revisions = states.map((state) => state.revision);
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
    expect(states.at(-1)).toEqual(member);

    await cluster.crash();
    const next = changesUntil(changes, shows(member.id, "leaving"));
    await expect.poll(() => plane.ledger.leave(member.id, 1, signal()).then(({ state }) => state)).toBe("leaving");
    expect((await next).every(({ kind }) => kind === "change")).toBe(true);

    await plane.ledger.remove(member.id, 1, signal());
    cluster.pass(31 * 86_400_000);
    await plane.sweep();
    await changesUntil(changes, ({ forgotten }) => forgotten.includes(member.id));
    stop.abort();
    expect((await changes.next()).done).toBe(true);
  });

  test("from a revision go on there; from one that was compacted away they begin with a snapshot", async () => {
    const { revision } = (await plane.ledger.memberNamed("n1", signal())) ?? expect.fail();
    const member = await join("later");
    const stop = new AbortController();
    const read = (from: number) => plane.ledger.changes({ from, signal: stop.signal })[Symbol.asyncIterator]();
    const [first] = await changesUntil(read(member.revision), () => true);
    expect(first).toEqual({ kind: "change", revision: member.revision, members: [member], forgotten: [] });
    await plane.datastore.compact(member.revision, { physical: true });
    const [instead] = await changesUntil(read(revision), () => true);
    expect(instead?.kind).toBe("snapshot");
    expect(instead?.members).toContainEqual(member);
    stop.abort();
  });
});

test("which engine holds the data is told as it is, also from one of somebody else to another; again changes nothing", async () => {
  const datastore = async () => (await plane.ledger.config(signal()))?.datastore;
  for (const servers of [["postgres://k8s@db.example/k8s"], ["https://192.0.2.1:2379", "https://192.0.2.2:2379"]]) {
    await plane.ledger.setEngine({ type: "external", servers }, signal());
    expect(await datastore()).toMatchObject({ type: "external", "external-servers": servers });
  }
  for (const _again of [1, 2]) await plane.ledger.setEngine({ type: "etcd" }, signal());
  expect(await datastore()).toEqual({ ...emptyClusterConfig().datastore, type: "etcd" });
});
