import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  bootstrapAgent,
  createAgents,
  joinAgent,
  removeAgents,
  residentOfAgent,
  startAgent,
  tokenOfAgent,
} from "../../agents.ts";
import { expectAgreement } from "../../expect-agreement.ts";
import { k8s } from "../../expect-node.ts";
import { expectOut, expectRefused, identityOf } from "../../expect-out.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { callDaemon, createNodeNetwork } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const count = 20;
/** Each of them hears of all others; on a busy machine that takes its time. */
const agreementMs = 180_000;

interface Member {
  readonly name: string;
  readonly state: string;
  readonly "pod-cidrs": readonly string[];
}

describe.skipIf(reason !== undefined)(`${count} workers`, () => {
  let network: Network;
  let founder: Host;
  let workers: readonly Host[] = [];
  /** Of the last two workers. */
  let before: readonly HostSnapshot[] = [];

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    const [first, ...others] = await createAgents({ staged, network, count: count + 1 });
    if (first === undefined) throw new Error("no host was made");
    founder = first;
    workers = others;
    before = await Promise.all(workers.slice(-2).map((host) => host.snapshot()));
    await bootstrapAgent(founder, { "disable-system-tuning": true, "cluster-config": { network: { enabled: true } } });
  });
  afterAll(async () => {
    await removeAgents([founder, ...workers].filter(Boolean));
    await network?.[Symbol.asyncDispose]();
  });

  async function members(): Promise<readonly Member[]> {
    const { metadata } = await callDaemon(founder, "GET", "/1.0/k8sd/members");
    return (metadata as { members: Member[] }).members;
  }

  test("that join at the same time with one token all get in, and each has pods' addresses of its own [A2]", async () => {
    const token = await tokenOfAgent(founder, { name: "", worker: true, uses: count });
    const answers = await Promise.all(workers.map((host, index) => joinAgent(host, `w${index}`, token)));
    expect(answers.filter(({ error }) => error !== "")).toEqual([]);
    const all = await members();
    expect(all.map(({ name, state }) => `${name} ${state}`).sort()).toEqual(
      ["founder active", ...workers.map((_, index) => `w${index} active`)].sort(),
    );
    const ranges = all.flatMap((member) => member["pod-cidrs"]);
    expect(new Set(ranges).size).toBe(count + 1);
    const [spent] = await tokens();
    expect(spent).toMatchObject({ state: "used-up", used: count, joining: 0 });
    const slowest = Math.max(...answers.map(({ ms }) => ms));
    console.log(`${count} joins at once: the slowest took ${Math.round(slowest)} ms`);
    expect(await residentOfAgent(founder)).toBeLessThan(200);
    await expectAgreement([founder, ...workers], { timeoutMs: agreementMs });
  });

  async function tokens(): Promise<readonly { state: string; used: number; joining: number }[]> {
    const { metadata } = await callDaemon(founder, "GET", "/1.0/k8sd/cluster/tokens");
    return (metadata as { tokens: { state: string; used: number; joining: number }[] }).tokens;
  }

  test("that all lose their power at once are the same members when it is back", async () => {
    const before = await members();
    await Promise.all(workers.map((host) => host.cutPower()));
    for (let next = 0; next < workers.length; next += 5) {
      await Promise.all(
        workers.slice(next, next + 5).map(async (host) => {
          await host.boot();
          await startAgent(host);
        }),
      );
    }
    expect(await members()).toEqual(before);
    for (const [index, host] of workers.entries()) {
      const { metadata } = await callDaemon(host, "GET", "/1.0/k8sd/node");
      expect(metadata).toMatchObject({ status: { name: `w${index}`, "cluster-role": "worker" } });
    }
    await expectAgreement([founder, ...workers], { timeoutMs: agreementMs });
  });

  test("of which two are removed, one by its name and one by itself, are 18 in every view, and the two are clean", async () => {
    const leaving = workers.slice(-2);
    const [removed, left] = leaving;
    if (removed === undefined || left === undefined) throw new Error("no host was made");
    const identities = await Promise.all(leaving.map((host) => identityOf(host, founder)));
    const results = await Promise.all([k8s(founder, ["remove-node", `w${count - 2}`]), k8s(left, ["leave"])]);
    for (const { exitCode, stderr } of results) expect(exitCode, stderr).toBe(0);
    await expectAgreement([founder, ...workers.slice(0, -2)], { timeoutMs: agreementMs });
    for (const [index, host] of leaving.entries()) {
      const [snapshot, identity] = [before[index], identities[index]];
      if (snapshot === undefined || identity === undefined) throw new Error("nothing is known of the host");
      await expectOut(host, { before: snapshot });
      await expectRefused(identity, host, [founder]);
    }
  });
});
