import { describe, expect, onTestFinished, test } from "vitest";
import { createMemberCalls } from "../../../src/datastore/etcd-members-calls.ts";
import { etcdMetrics } from "../../../src/datastore/etcd-metrics.ts";
import { createTestCluster, etcdProgram } from "./etcd-members-cluster.ts";

const signal = () => AbortSignal.timeout(30_000);

describe.skipIf(etcdProgram === undefined)("the metrics of etcd", { timeout: 120_000 }, () => {
  test("tell of its lead, lag, room and defragmentations, and of nothing that could be meant of k8sd", async () => {
    await using cluster = await createTestCluster();
    const { clientUrl } = await cluster.member("n1");
    const read = async () => {
      const lines = (await etcdMetrics(clientUrl, cluster.tls, signal())).split("\n");
      const samples = lines.filter((line) => !line.startsWith("#")).map((line) => line.split(" ") as [string, string]);
      expect(samples.map(([name]) => name).filter((name) => !name.startsWith("etcd_"))).toEqual([]);
      return new Map(samples.map(([name, value]) => [name, Number(value)]));
    };
    await expect.poll(async () => (await read()).get("etcd_server_has_leader"), { timeout: 30_000 }).toBe(1);
    const before = await read();
    expect(before.get("etcd_server_leader_changes_seen_total")).toBeGreaterThanOrEqual(1);
    expect(before.get("etcd_server_proposals_applied_total")).toBeGreaterThan(0);
    expect(before.get("etcd_server_proposals_committed_total")).toBeGreaterThan(0);
    expect(before.get("etcd_server_quota_backend_bytes")).toBeGreaterThan(0);
    const size = before.get("etcd_mvcc_db_total_size_in_bytes") ?? 0;
    expect(before.get("etcd_mvcc_db_total_size_in_use_in_bytes")).toBeLessThanOrEqual(size);
    const calls = createMemberCalls({ endpoints: [clientUrl], tls: cluster.tls });
    onTestFinished(() => calls.close());
    await calls.defragment(clientUrl, 30_000, signal());
    const defragmented = "etcd_disk_backend_defrag_duration_seconds_count";
    expect((await read()).get(defragmented)).toBe((before.get(defragmented) ?? 0) + 1);
  });

  test("are told to nobody without a certificate", async () => {
    await using cluster = await createTestCluster();
    const { clientUrl } = await cluster.member("n1");
    // It serves.
    await expect.poll(() => etcdMetrics(clientUrl, cluster.tls, signal()), { timeout: 30_000 }).toContain("etcd_");
    const { ca } = cluster.tls;
    await expect(etcdMetrics(clientUrl, ca === undefined ? {} : { ca }, signal())).rejects.toThrow(/certificate/);
  });
});
