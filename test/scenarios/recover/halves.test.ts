import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { callDaemon, waitForDaemon } from "../../node.ts";
import { etcdMembers } from "../join/nodes.ts";
import { backups, createThree, epochOf, put, read, type Three } from "./three.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

async function recoveryOf(host: Host): Promise<string | undefined> {
  const { metadata } = await callDaemon(host, "GET", "/1.0/k8sd/cluster/copy");
  return (metadata as { cluster: { recovery?: { id: string } } }).cluster.recovery?.id;
}

describe.skipIf(reason !== undefined)("control planes that are cut off from each other", () => {
  let three: Three;
  beforeAll(async () => {
    three = await createThree();
    await put(three.n1, "before", "kept");
    await three.n3.cutPower();
  });
  afterAll(() => three?.[Symbol.asyncDispose]());

  test("are recovered one by one, also right after a reboot", async () => {
    const { n1, n2 } = three;
    await n1.partition();
    await n1.cutPower();
    await n1.boot();
    await waitForDaemon(n1);
    for (const host of [n1, n2]) {
      const result = await k8s(host, ["recover", "--yes"]);
      expect(result.exitCode, result.stderr).toBe(0);
      await becomesReady(host);
      await put(host, "half", host.name);
      expect(await epochOf(host)).toBe(2);
      expect(await etcdMembers(host)).toEqual({ [host.name]: "voter" });
    }
  });

  test("become one cluster again when they hear of each other: one of them yields, and keeps what it had [C26]", async () => {
    const { n1, n2, n3 } = three;
    await n1.heal();
    await n3.boot();
    await waitForDaemon(n3);
    await expectAgreement([n1, n2, n3], { timeoutMs: 180_000 });
    const [first, ...others] = await Promise.all([n1, n2, n3].map(recoveryOf));
    expect(first).toBeDefined();
    expect(others).toEqual([first, first]);
    const half = await read(n1, "half");
    expect([n1.name, n2.name]).toContain(half);
    for (const host of [n1, n2, n3]) {
      expect(await epochOf(host)).toBe(2);
      expect(await read(host, "half")).toBe(half);
      expect(await read(host, "before")).toBe("kept");
      await becomesReady(host);
    }
    const loser = half === n1.name ? n2 : n1;
    expect(await backups(loser)).toEqual([`before-epoch-2-of-${n1.name}`, `before-epoch-2-of-${n2.name}`]);
  });
});
