import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import { waitForDaemon } from "../../node.ts";
import { etcdMembers } from "../join/nodes.ts";
import { backups, createThree, epochOf, etcdctl, isOut, put, read, type Three } from "./three.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** Nobody waits longer for "no". */
const secondsForNo = 10_000;

describe.skipIf(reason !== undefined)("a cluster that lost two of three control planes", () => {
  let three: Three;
  beforeAll(async () => {
    three = await createThree();
  });
  afterAll(() => three?.[Symbol.asyncDispose]());

  test("is not recovered while it has its quorum", async () => {
    const result = await k8s(three.n1, ["recover", "--yes"]);
    expect(result.exitCode).toBe(1);
    expect(result.stderr).toContain("the cluster has its quorum and works");
    expect(await epochOf(three.n1)).toBe(1);
  });

  test("goes on on a node whose own etcd is away, through the others", async () => {
    const { n2 } = three;
    await n2.run("systemctl", "stop", "k8s-etcd");
    const result = await k8s(n2, ["get-join-token", "n9"]);
    expect(result.exitCode, result.stderr).toBe(0);
    await n2.run("systemctl", "start", "k8s-etcd");
    await becomesReady(n2);
  });

  test("says what is wrong within seconds, whatever is asked [C24]", async () => {
    const { n1, n2, n3 } = three;
    await put(n2, "before", "kept");
    await Promise.all([n2.cutPower(), n3.cutPower()]);
    for (const argv of [
      ["get-join-token", "n9"],
      ["tokens"],
      ["revoke-token", "0123456789ab"],
      ["remove-node", n2.name, "--timeout", "5s"],
    ]) {
      const begun = performance.now();
      const result = await k8s(n1, argv);
      const took = performance.now() - begun;
      expect({ argv, exitCode: result.exitCode }).toEqual({ argv, exitCode: 1 });
      expect(took, argv.join(" ")).toBeLessThan(secondsForNo);
    }
    const begun = performance.now();
    const status = await k8s(n1, ["status"]);
    expect(performance.now() - begun).toBeLessThan(secondsForNo);
    expect(status.stdout).toMatch(/^cluster status: +(?!ready)/);
  });

  test("is not recovered by a command that nobody confirms, which says itself what it would do [C27]", async () => {
    const result = await k8s(three.n1, ["recover"]);
    expect(result.exitCode).toBe(1);
    expect(result.stderr).toContain("Add --yes");
    expect(result.stderr).toContain(`Recovering keeps the copy of ${three.n1.name} and begins epoch 2`);
    expect(await backups(three.n1)).toEqual([]);
  });

  test("works again after one command on the one that is left, which tells what it did [C24] [C25]", async () => {
    const { n1, n2, n3 } = three;
    const result = await k8s(n1, ["recover", "--yes", "--output-format", "json"]);
    expect(result.exitCode, result.stderr).toBe(0);
    expect(JSON.parse(result.stdout)).toEqual({
      epoch: 2,
      backup: `/var/snap/k8s/common/var/lib/etcd/before-epoch-2-of-${n1.name}`,
      rejoin: [n2.name, n3.name].sort(),
    });
    await becomesReady(n1);
    expect(await read(n1, "before")).toBe("kept");
    expect(await etcdMembers(n1)).toEqual({ [n1.name]: "voter" });
    expect(await backups(n1)).toEqual([`before-epoch-2-of-${n1.name}`]);
    await put(n1, "after", "written");
    expect((await k8s(n1, ["get-join-token", "n9"])).exitCode).toBe(0);
  });

  test("never goes back to an old revision, and old watches are told so", async () => {
    const [status] = JSON.parse(await etcdctl(three.n1, "endpoint", "status", "--write-out", "json")) as [
      { Status: { header: { revision: number } } },
    ];
    expect(status.Status.header.revision).toBeGreaterThan(1_000_000_000);
    await expect(etcdctl(three.n1, "get", "/test/before", "--rev", "5")).rejects.toThrow("compacted");
  });

  test("takes the others in again by themselves, with the data of the recovered one [C25] [C26]", async () => {
    const { n1, n2, n3 } = three;
    // Together they are a majority of what the cluster was before.
    await Promise.all([n2.boot(), n3.boot()]);
    await Promise.all([waitForDaemon(n2), waitForDaemon(n3)]);
    await expectAgreement([n1, n2, n3], { timeoutMs: 120_000 });
    for (const host of [n1, n2, n3]) {
      expect(await epochOf(host)).toBe(2);
      expect(await read(host, "before")).toBe("kept");
      expect(await read(host, "after")).toBe("written");
      await becomesReady(host);
    }
    expect(await backups(n2)).toEqual([`before-epoch-2-of-${n1.name}`]);
    await put(n3, "together", "again");
    expect(await read(n2, "together")).toBe("again");
  });

  test("takes out what is lost for good; it learns that when it comes back all the same, and is clean", async () => {
    const { n1, n2, n3 } = three;
    await Promise.all([n2.cutPower(), n3.cutPower()]);
    expect(await k8s(n1, ["recover", "--yes"])).toMatchObject({ exitCode: 0 });
    const removed = await k8s(n1, ["remove-node", n3.name, "--force"]);
    expect(removed.exitCode, removed.stderr).toBe(0);
    await Promise.all([n2.boot(), n3.boot()]);
    await Promise.all([waitForDaemon(n2), waitForDaemon(n3)]);
    await expectAgreement([n1, n2], { timeoutMs: 120_000 });
    await isOut(three, n3, [n1, n2]);
    expect(await epochOf(n2)).toBe(3);
    expect(await read(n2, "after")).toBe("written");
  });
});
