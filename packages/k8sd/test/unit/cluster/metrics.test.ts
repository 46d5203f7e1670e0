import { expect, test } from "vitest";
import { metricsText } from "../../../src/cluster/migrate/metrics.ts";

const member = { name: "n1", address: "https://10.0.0.1:2379", role: "voter" } as const;

test("each member tells what it knows; what nobody knows is left out", () => {
  const text = metricsText({
    engine: "etcd",
    endpoints: [],
    revision: 42,
    alarms: [],
    members: [
      {
        ...member,
        leader: true,
        behind: 0,
        size: 2_000,
        "size-in-use": 1_000,
        quota: 8_000,
        alarms: ["NOSPACE"],
        "last-defragmented": "2026-01-01T00:00:00.000Z",
      },
      { ...member, name: 'n"2\\', role: "learner", problem: "connection refused" },
    ],
  });
  const samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  expect(samples).toEqual([
    'k8sd_datastore_up{engine="etcd"} 1',
    'k8sd_datastore_revision{engine="etcd"} 42',
    'k8sd_datastore_moving{engine="etcd"} 0',
    'k8sd_datastore_members{role="voter"} 1',
    'k8sd_datastore_members{role="learner"} 1',
    'k8sd_datastore_member_up{member="n1"} 1',
    'k8sd_datastore_member_up{member="n\\"2\\\\"} 0',
    'k8sd_datastore_member_leader{member="n1"} 1',
    'k8sd_datastore_member_behind_changes{member="n1"} 0',
    'k8sd_datastore_member_size_bytes{member="n1"} 2000',
    'k8sd_datastore_member_size_in_use_bytes{member="n1"} 1000',
    'k8sd_datastore_member_quota_bytes{member="n1"} 8000',
    'k8sd_datastore_member_alarm{member="n1",alarm="NOSPACE"} 1',
    'k8sd_datastore_member_alarm{member="n1",alarm="CORRUPT"} 0',
    'k8sd_datastore_member_alarm{member="n\\"2\\\\",alarm="NOSPACE"} 0',
    'k8sd_datastore_member_alarm{member="n\\"2\\\\",alarm="CORRUPT"} 0',
    'k8sd_datastore_member_last_defragmentation_timestamp_seconds{member="n1"} 1767225600',
  ]);
});

test("a datastore that does not answer is down, and has no other figures", () => {
  const text = metricsText({ engine: "sqlite", endpoints: [], problem: "no answer", alarms: [], members: [] });
  expect(text).toContain('k8sd_datastore_up{engine="sqlite"} 0\n');
  expect(text).not.toContain("k8sd_datastore_revision");
});
