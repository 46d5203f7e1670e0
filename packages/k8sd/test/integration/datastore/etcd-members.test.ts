import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { initialCluster } from "../../../src/datastore/etcd-members-facts.ts";
import type { EtcdMemberList } from "../../../src/datastore/etcd-members-types.ts";
import { createTestCluster, etcdProgram, type TestCluster } from "./etcd-members-cluster.ts";

if (etcdProgram === undefined) {
  process.stderr.write("etcd members: skipped, no etcd in K8SD_TEST_ETCD, the PATH or the components' cache\n");
}

let cluster: TestCluster;
afterEach(() => cluster?.[Symbol.asyncDispose]());

const voters = ({ members }: EtcdMemberList) =>
  members.flatMap(({ name, isLearner }) => (isLearner ? [] : [name])).sort();
const list = () => cluster.members.list(cluster.call({ timeoutMs: 4_000 }));
/** Notes of the progress as they come. */
function notes() {
  const heard: string[] = [];
  return { heard, onProgress: ({ note }: { note: string }) => void heard.push(note) };
}

describe.skipIf(etcdProgram === undefined)("joining", () => {
  beforeEach(async () => {
    cluster = await createTestCluster();
  });

  test("one member becomes two and three, and each vote is counted", async () => {
    await cluster.join("n2");
    await expect.poll(async () => (await list()).quorum).toMatchObject({ voters: 2, needed: 2, canLose: 0, has: true });
    const third = await cluster.join("n3");
    expect(third).toMatchObject({ name: "n3", isLearner: false });
    await expect.poll(async () => (await list()).quorum).toMatchObject({ voters: 3, healthyVoters: 3, canLose: 1 });
    const seen = await list();
    expect(voters(seen)).toEqual(["n1", "n2", "n3"]);
    expect(seen.members.every(({ started, health }) => started && health.ok)).toBe(true);
    expect(seen.leader).toBeDefined();
  });

  test("asking again gives the same member, and a vote it has is not asked for twice", async () => {
    const n2 = await cluster.member("n2");
    const ask = () =>
      cluster.members.addLearner({ name: "n2", peerUrls: [n2.peerUrl], fresh: true, ...cluster.call() });
    const [first, again] = await Promise.all([ask(), ask()]);
    expect(again.id).toBe(first.id);
    expect((await ask()).id).toBe(first.id);
    expect(first.isLearner).toBe(true);
    n2.start(initialCluster((await list()).members, n2), "existing");
    await cluster.members.promote(first.id, cluster.call());
    await expect(cluster.members.promote(first.id, cluster.call())).resolves.toMatchObject({ isLearner: false });
    await cluster.members.awaitCaughtUp(first.id, cluster.call());
  });

  test("two at the same time take turns", async () => {
    const [second, third] = [notes(), notes()];
    await Promise.all([
      cluster.join("n2", { onProgress: second.onProgress }),
      cluster.join("n3", { onProgress: third.onProgress }),
    ]);
    expect(voters(await list())).toEqual(["n1", "n2", "n3"]);
    expect([...second.heard, ...third.heard]).toContainEqual(expect.stringMatching(/joining/));
  });

  test("a learner that was killed goes on where it was; one that lost its data gets a new membership", async () => {
    const n2 = await cluster.member("n2");
    const ask = (fresh: boolean) =>
      cluster.members.addLearner({ name: "n2", peerUrls: [n2.peerUrl], fresh, ...cluster.call() });
    const { id } = await ask(true);
    const peers = initialCluster((await list()).members, n2);
    n2.start(peers, "existing");
    await cluster.members.awaitCaughtUp(id, cluster.call());
    await n2.kill();
    expect((await ask(false)).id).toBe(id);

    n2.wipe();
    const replaced = await ask(true);
    expect(replaced.id).not.toBe(id);
    n2.start(initialCluster((await list()).members, n2), "existing");
    await cluster.members.awaitCaughtUp(replaced.id, cluster.call());
    await n2.kill();
    n2.start(peers, "existing");
    await expect(cluster.members.promote(replaced.id, cluster.call())).resolves.toMatchObject({ isLearner: false });
    expect(voters(await list())).toEqual(["n1", "n2"]);
  });

  test("a learner that never comes holds others up only until its join is known to be given up", async () => {
    const [lost, n3] = [await cluster.member("lost"), await cluster.member("n3")];
    await cluster.members.addLearner({ name: "lost", peerUrls: [lost.peerUrl], fresh: true, ...cluster.call() });
    const wanted = { name: "n3", peerUrls: [n3.peerUrl], fresh: true };
    await expect(
      cluster.members.addLearner({ ...wanted, ...cluster.call({ timeoutMs: 1_500 }) }),
    ).rejects.toMatchObject({
      kind: "timeout",
      message: expect.stringContaining(`${lost.peerUrl}) is joining`),
    });
    const isAbandoned = async ({ peerUrls }: { peerUrls: readonly string[] }) => peerUrls.includes(lost.peerUrl);
    await cluster.join("n3", { isAbandoned });
    expect(voters(await list())).toEqual(["n1", "n3"]);
    expect((await list()).members).toHaveLength(2);
  });

  test("a member that was removed is added again at once, as a new one", async () => {
    const n2 = await cluster.member("n2");
    const ask = () =>
      cluster.members.addLearner({ name: "n2", peerUrls: [n2.peerUrl], fresh: true, ...cluster.call() });
    const ids = new Set<bigint>();
    // Within one second etcd would give the same number again, and refuses it.
    for (let round = 0; round < 2; round += 1) {
      const { id } = await ask();
      ids.add(id);
      await expect(cluster.members.remove({ id }, cluster.call())).resolves.toBe("removed");
    }
    ids.add((await ask()).id);
    expect(ids.size).toBe(3);
  });

  test("a member keeps its number when its address changes", async () => {
    const [old, now] = [await cluster.member("old"), await cluster.member("now")];
    const { id } = await cluster.members.addLearner({
      name: "n2",
      peerUrls: [old.peerUrl],
      fresh: true,
      ...cluster.call(),
    });
    await cluster.members.setPeerUrls(id, [now.peerUrl], cluster.call());
    await cluster.members.setPeerUrls(id, [now.peerUrl], cluster.call());
    expect((await list()).members.find((member) => member.id === id)?.peerUrls).toEqual([now.peerUrl]);
    await expect(cluster.members.setPeerUrls(7n, [old.peerUrl], cluster.call())).rejects.toMatchObject({
      kind: "not-found",
    });
  });

  test("an address at which another member runs is refused at once", async () => {
    const n1 = await cluster.member("n1");
    await expect(
      cluster.members.addLearner({ name: "n9", peerUrls: [n1.peerUrl], fresh: true, ...cluster.call() }),
    ).rejects.toMatchObject({ kind: "conflict", message: expect.stringContaining("member n1 runs there") });
  });
});

describe.skipIf(etcdProgram === undefined)("three members", () => {
  beforeEach(async () => {
    cluster = await createTestCluster();
    await cluster.join("n2");
    await cluster.join("n3");
    await expect.poll(async () => (await list()).quorum.healthyVoters, { timeout: 10_000 }).toBe(3);
  });

  test("one dead does not keep a fourth from joining; the dead one is removed once, and twice is as good", async () => {
    const [n1, n2] = [await cluster.member("n1"), await cluster.member("n2")];
    await n1.kill();
    await expect.poll(async () => (await list()).quorum, { timeout: 10_000 }).toMatchObject({ has: true, canLose: 0 });
    await cluster.join("n4");
    expect((await list()).quorum).toMatchObject({ voters: 4, healthyVoters: 3, has: true });
    await expect(cluster.members.remove({ name: "n1" }, cluster.call())).resolves.toBe("removed");
    await expect(cluster.members.remove({ name: "n1" }, cluster.call())).resolves.toBe("absent");
    await expect(cluster.members.remove({ peerUrl: n1.peerUrl }, cluster.call())).resolves.toBe("absent");
    expect(voters(await list())).toEqual(["n2", "n3", "n4"]);

    // The same machine comes back with an empty disk.
    n1.wipe();
    await cluster.join("n1");
    expect(voters(await list())).toEqual(["n1", "n2", "n3", "n4"]);
    expect(await cluster.connect([n1.clientUrl, n2.clientUrl]).list(cluster.call({ timeoutMs: 4_000 }))).toMatchObject({
      quorum: { voters: 4, healthyVoters: 4, canLose: 1 },
    });
  });

  test("the leader hands over before it is taken out, and its process ends", async () => {
    const before = await list();
    const leader = before.members.find(({ id }) => id === before.leader);
    const { heard, onProgress } = notes();
    await cluster.members.remove({ id: leader?.id ?? 0n }, cluster.call({ onProgress }));
    const after = await list();
    expect(after.leader).toBeDefined();
    expect(after.leader).not.toBe(leader?.id);
    expect(voters(after)).toHaveLength(2);
    expect(heard[0]).toMatch(/takes over the lead$/);
    expect(heard[1]).toBe(`removing ${leader?.name}`);
    await (await cluster.member(leader?.name ?? "")).ended();
  });

  test("what would leave too few is refused unless forced; without quorum a call says so in time", async () => {
    const [n2, n3] = [await cluster.member("n2"), await cluster.member("n3")];
    await n3.kill();
    await expect.poll(async () => (await list()).quorum.healthyVoters, { timeout: 10_000 }).toBe(2);
    await expect(cluster.members.remove({ name: "n2" }, cluster.call())).rejects.toMatchObject({
      kind: "conflict",
      message: expect.stringContaining("then 1 of 2 voting members are healthy and 2 are needed"),
      remedy: expect.stringContaining("--force"),
    });
    expect(voters(await list())).toEqual(["n1", "n2", "n3"]);

    await n2.kill();
    const began = performance.now();
    const n4 = await cluster.member("n4");
    const add = { name: "n4", peerUrls: [n4.peerUrl], fresh: true };
    await expect(cluster.members.addLearner({ ...add, ...cluster.call({ timeoutMs: 6_000 }) })).rejects.toMatchObject({
      kind: "timeout",
      message: expect.stringMatching(/^cannot add etcd member n4 within 6 s: .* of 3 voting members are healthy/),
      remedy: expect.stringContaining("k8s recover"),
    });
    expect(performance.now() - began).toBeLessThan(8_000);
    // Who is there is known all the same.
    const seen = await list();
    expect(voters(seen)).toEqual(["n1", "n2", "n3"]);
    expect(seen.quorum).toMatchObject({ has: false, canLose: 0 });
  });

  test("forced, it leaves too few all the same", async () => {
    await (await cluster.member("n3")).kill();
    await expect.poll(async () => (await list()).quorum.healthyVoters, { timeout: 10_000 }).toBe(2);
    await expect(cluster.members.remove({ name: "n2" }, { ...cluster.call(), force: true })).resolves.toBe("removed");
    await expect.poll(async () => (await list()).quorum.has, { timeout: 10_000 }).toBe(false);
    expect(voters(await list())).toEqual(["n1", "n3"]);
  });
});

describe.skipIf(etcdProgram === undefined)("an etcd with its own strict check", () => {
  test("is waited for while it settles, and a member that keeps it from settling is named", async () => {
    cluster = await createTestCluster(true);
    await cluster.join("n2");
    await cluster.join("n3");
    expect(voters(await list())).toEqual(["n1", "n2", "n3"]);
    await (await cluster.member("n3")).kill();
    const n4 = await cluster.member("n4");
    const { heard, onProgress } = notes();
    const call = cluster.call({ timeoutMs: 5_000, onProgress });
    const refused = cluster.members.addLearner({ name: "n4", peerUrls: [n4.peerUrl], fresh: true, ...call });
    await expect(refused).rejects.toMatchObject({
      kind: "timeout",
      message: expect.stringMatching(
        /within 5 s: unhealthy cluster \(2 of 3 voting members are healthy; n3: .*ECONNREFUSED/,
      ),
      remedy: expect.stringContaining("k8s remove-node"),
    });
    expect(heard.length).toBeGreaterThan(0);
  });
});

test.skipIf(etcdProgram === undefined)("nobody answers: the list says so within its time", async () => {
  cluster = await createTestCluster();
  const n1 = await cluster.member("n1");
  await expect.poll(async () => voters(await list()), { timeout: 10_000 }).toEqual(["n1"]);
  await n1.kill();
  await expect(cluster.members.list(cluster.call({ timeoutMs: 1_000 }))).rejects.toMatchObject({
    kind: "unavailable",
    remedy: expect.stringContaining("k8s recover"),
  });
});
