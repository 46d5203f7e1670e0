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
});
