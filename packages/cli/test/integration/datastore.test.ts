import type { DatastoreReport } from "@k8sd/api-types";
import { describe, expect, test } from "vitest";
import { createFakeDaemon, type Routes, sendSync } from "../support/fake-daemon.ts";
import { type CliResult, startCli } from "../support/run-cli.ts";
import { localNode } from "../support/statuses.ts";

const report: DatastoreReport = {
  engine: "etcd",
  endpoints: ["https://127.0.0.1:2379"],
  version: "3.6.5",
  revision: 812,
  size: 25 * 1024 ** 2,
  "size-in-use": 20.5 * 1024 ** 2,
  alarms: [],
  members: [
    { name: "n1", role: "voter", address: "https://10.0.0.1:2379" },
    { name: "node2", role: "learner", address: "https://10.0.0.2:2379" },
  ],
};
const moved = { from: "sqlite", to: "etcd", "paused-at": "2026-01-02T03:04:05.000Z", "pause-ms": 812 };
const answering = (seen: DatastoreReport): Routes => ({
  "GET /1.0/k8sd/node": (_request, answer) => sendSync(answer, localNode),
  "GET /1.0/k8sd/datastore": (_request, answer) => sendSync(answer, seen),
  "POST /1.0/k8sd/datastore/migration": (_request, answer) => sendSync(answer, moved),
});

function run(stateDir: string, ...args: string[]): Promise<CliResult> {
  return startCli({ args: ["datastore", ...args, "--state-dir", stateDir] }).result;
}

describe.concurrent("k8s datastore", () => {
  test("status shows engine, size and members", async () => {
    await using daemon = await createFakeDaemon(answering(report));
    const { code, stdout } = await run(daemon.stateDir, "status");
    expect([code, stdout]).toEqual([
      0,
      `engine:     etcd (API of etcd 3.6.5)
state:      works
endpoints:  https://127.0.0.1:2379
revision:   812
size:       25.0 MiB, 20.5 MiB in use
member:     n1      voter     https://10.0.0.1:2379
member:     node2   learner   https://10.0.0.2:2379
`,
    ]);
    const json = await run(daemon.stateDir, "status", "--output-format", "json");
    expect(JSON.parse(json.stdout)).toEqual(report);
  });

  test("status of one that does not answer says why, and where a migration stands", async () => {
    const migration = {
      operation: "1",
      kind: "migrate",
      step: 3,
      of: 9,
      title: "Pause writes",
      state: "started" as const,
      elapsedMs: 1,
    };
    const { version: _, revision: __, size: ___, "size-in-use": ____, ...away } = report;
    const seen = { ...away, members: [], problem: "cannot read: connection refused", migration };
    await using daemon = await createFakeDaemon(answering(seen));
    const { stdout } = await run(daemon.stateDir, "status");
    expect(stdout).toContain("state:      cannot read: connection refused\n");
    expect(stdout).toContain("migration:  step 3 of 9, Pause writes\n");
  });

  test("migrate asks for the engine that is named, and for no other", async () => {
    await using daemon = await createFakeDaemon(answering(report));
    const done = await run(daemon.stateDir, "migrate", "--to", "etcd", "--timeout", "60s");
    expect([done.code, done.stdout]).toEqual([
      0,
      "The cluster's data has moved from sqlite to etcd. Writes were paused for 812 ms.\n",
    ]);
    expect(daemon.received.at(-1)?.body).toEqual({ to: "etcd", timeout: 60e9 });
    const json = await run(daemon.stateDir, "migrate", "--to", "etcd", "--output-format", "json");
    expect(JSON.parse(json.stdout)).toEqual(moved);
    const asked = daemon.received.length;
    for (const flags of [[], ["--to", "postgresql"]]) {
      const refused = await run(daemon.stateDir, "migrate", ...flags);
      expect([refused.code, refused.stderr]).toEqual([1, "Error: --to must be etcd, sqlite or external.\n"]);
    }
    expect(daemon.received.length).toBe(asked);
  });

  test("status shows how each member is", async () => {
    const [n1, n2] = report.members;
    const well = {
      ...{ version: "3.6.16", leader: true, behind: 0, size: 25 * 1024 ** 2, "size-in-use": 20.5 * 1024 ** 2 },
      ...{ quota: 2 * 1024 ** 3, alarms: ["NOSPACE"], "last-defragmented": "2026-01-02T03:04:05.000Z" },
    };
    const members = [n1 && { ...n1, ...well }, n2 && { ...n2, problem: "connection refused", alarms: [] }];
    await using daemon = await createFakeDaemon(answering({ ...report, members: members.flatMap((one) => one ?? []) }));
    const { stdout } = await run(daemon.stateDir, "status");
    expect(stdout).toContain(`member:     n1      voter     https://10.0.0.1:2379
                    leads, version 3.6.16, alarm NOSPACE
                    25.0 MiB, 20.5 MiB in use, 2048.0 MiB at most, defragmented 2026-01-02T03:04:05.000Z
member:     node2   learner   https://10.0.0.2:2379
                    does not answer: connection refused
`);
  });

  test("rotate-key waits until the old key is forgotten", async () => {
    const going = { id: "b2", leaving: "a1", "waiting-for": ["n2"] };
    let looks = 0;
    await using daemon = await createFakeDaemon({
      ...answering(report),
      "POST /1.0/k8sd/datastore/seal-key": (_request, answer) =>
        sendSync(answer, { id: "a1", coming: "b2", "waiting-for": ["n2"] }),
      "GET /1.0/k8sd/datastore": (_request, answer) => {
        looks += 1;
        sendSync(answer, { ...report, "seal-key": looks < 2 ? going : { id: "b2", "waiting-for": [] } });
      },
    });
    const { code, stdout } = await run(daemon.stateDir, "rotate-key", "--timeout", "60s");
    expect([code, stdout, looks]).toEqual([0, "The key b2 seals the cluster's secrets.\n", 2]);
  });

  test("rotate-key says who is waited for when its time is over, and that it goes on", async () => {
    const coming = { id: "a1", coming: "b2", "waiting-for": ["n2", "n3"] };
    await using daemon = await createFakeDaemon({
      ...answering({ ...report, "seal-key": coming }),
      "POST /1.0/k8sd/datastore/seal-key": (_request, answer) => sendSync(answer, coming),
    });
    const { code, stdout } = await run(daemon.stateDir, "rotate-key", "--timeout", "5s");
    const text =
      "The new key b2 takes the place of a1 by itself, when n2, n3 did their part.\nSee 'k8s datastore status'.\n";
    expect([code, stdout]).toEqual([0, text]);
    const shown = await run(daemon.stateDir, "status");
    expect(shown.stdout).toContain("seal key:   a1, b2 comes, waits for n2, n3\n");
  });
});
