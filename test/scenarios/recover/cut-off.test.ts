import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { waitForDaemon } from "../../node.ts";
import { joins, joinToken } from "../join/nodes.ts";
import { createThree, epochOf, isOut, put, read, type Three } from "./three.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("a control plane that is recovered although it was only cut off", () => {
  let three: Three;
  beforeAll(async () => {
    three = await createThree();
  });
  afterAll(() => three?.[Symbol.asyncDispose]());

  test("takes nothing from those that worked all the while", async () => {
    const { n1, n2, n3 } = three;
    await n1.partition();
    expect(await k8s(n1, ["recover", "--yes"])).toMatchObject({ exitCode: 0 });
    await put(n2, "meanwhile", "written");
    await n1.heal();
    const told =
      /OneCluster.*RecoveryDeclined.*n1 was recovered \(epoch 2\) while this side worked.*'k8s leave --force'/s;
    const status = async (host: Host) => (await k8s(host, ["status", "--output-format", "json"])).stdout;
    for (const host of [n2, n3])
      await expect.poll(() => status(host), { timeout: 60_000, interval: 1_000 }).toMatch(told);
    // What the other side orders counts for nothing here.
    expect(await k8s(n1, ["remove-node", n3.name, "--force"])).toMatchObject({ exitCode: 0 });
    // Also when their etcd was started anew after that.
    await n2.run("systemctl", "restart", "k8s-etcd", "k8sd");
    await waitForDaemon(n2);
    await expect.poll(() => status(n2), { timeout: 60_000, interval: 1_000 }).toMatch(told);
    for (const host of [n2, n3]) {
      expect(await epochOf(host)).toBe(1);
      expect(await read(host, "meanwhile")).toBe("written");
    }
    expect(await epochOf(n1)).toBe(2);
  });

  test("is given up and joins again", async () => {
    const { n1, n2, n3 } = three;
    const left = await k8s(n1, ["leave", "--force"]);
    expect(left.exitCode, left.stderr).toBe(0);
    const removed = await k8s(n2, ["remove-node", n1.name, "--force"]);
    expect(removed.exitCode, removed.stderr).toBe(0);
    await isOut(three, n1, [n2, n3]);
    await joins(n1, n1.name, await joinToken(n2, n1.name));
    await expectAgreement([n1, n2, n3], { timeoutMs: 60_000 });
    expect(await epochOf(n1)).toBe(1);
    expect(await read(n1, "meanwhile")).toBe("written");
    for (const host of [n1, n2, n3]) await becomesReady(host);
  });
});
