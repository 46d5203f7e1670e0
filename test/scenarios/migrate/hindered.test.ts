import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bootstrap, k8s } from "../../expect-node.ts";
import { createFaultPoints, faultEnvironment } from "../../faults/points.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { contentHash, fill, isOn, migrate, migrates, peerPortTaken, stepOf } from "./engines.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("a move of the data whose new engine cannot start in its place", () => {
  let host: Host;

  beforeAll(async () => {
    host = await createNode({ staged: await stagedForTests(), flags: ["--agent-only"], env: faultEnvironment });
    await bootstrap(host);
    await fill(host, 200);
  });
  afterAll(async () => {
    await host?.[Symbol.asyncDispose]();
  });

  test("is taken back before the point of no return", async () => {
    const content = await contentHash(host);
    const points = createFaultPoints(host);
    await points.hold(stepOf("try-engine"), "before-run");
    const running = migrate(host, "etcd");
    await points.reached(stepOf("try-engine"), "before-run");
    await using _taken = await peerPortTaken(host);
    await points.clear();
    const { exitCode, stderr } = await running;
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining("Try etcd in its place, closed to all")]);
    await isOn(host, "sqlite");
    expect(await contentHash(host)).toBe(content);
  });

  test("says what keeps it from its end after the point of no return, and ends when that is gone", async () => {
    const content = await contentHash(host);
    const points = createFaultPoints(host);
    await points.hold(stepOf("start-engine"), "before-run");
    const running = migrate(host, "etcd");
    await points.reached(stepOf("start-engine"), "before-run");
    const taken = await peerPortTaken(host);
    await points.clear();
    const stands = /it is moving, and cannot go on at "Start etcd in its place": .*address already in use/;
    const shown = async (...args: string[]) => (await k8s(host, [...args])).stdout;
    await expect.poll(() => shown("datastore", "status"), { timeout: 60_000, interval: 1_000 }).toMatch(stands);
    await expect.poll(() => shown("status"), { timeout: 30_000, interval: 1_000 }).toMatch(stands);
    await taken[Symbol.asyncDispose]();
    expect(await running).toMatchObject({ exitCode: 0 });
    await isOn(host, "etcd");
    expect(await contentHash(host)).toBe(content);
    await migrates(host, "sqlite");
  });
});
