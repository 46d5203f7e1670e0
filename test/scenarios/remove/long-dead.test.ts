import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { bootstrap } from "../../expect-node.ts";
import { expectOut, expectRefused, type Identity, identityOf } from "../../expect-out.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host, HostSnapshot } from "../../hosts/types.ts";
import { createNode, createNodeNetwork } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { etcdConfig, joins, joinToken, members } from "../join/nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const config = `${etcdConfig}cluster-config: { annotations: { k8sd/v1alpha/lifecycle/remove-dead-nodes-after: 1m } }\n`;

describe.skipIf(reason !== undefined)("nodes that stay dead, where the cluster is to take them out by itself", () => {
  let network: Network;
  let hosts: readonly Host[] = [];
  let befores: readonly HostSnapshot[] = [];
  const identities = new Map<number, Identity>();
  const at = (index: number): Host => {
    const host = hosts[index];
    if (host === undefined) throw new Error("the host was not made");
    return host;
  };

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    const create = () => createNode({ staged, network, flags: ["--agent-only"] });
    hosts = await Promise.all([create(), create(), create(), create()]);
    befores = await Promise.all(hosts.map((host) => host.snapshot()));
    await bootstrap(at(0), config);
    await joins(at(1), "n2", await joinToken(at(0), "n2"));
    await joins(at(2), "n3", await joinToken(at(0), "n3"));
    await joins(at(3), "w1", await joinToken(at(0), "w1", "--worker"));
    for (const index of [2, 3]) identities.set(index, await identityOf(at(index), at(0)));
  });
  afterAll(async () => {
    await Promise.all(hosts.map((host) => host[Symbol.asyncDispose]()));
    await network?.[Symbol.asyncDispose]();
  });

  async function isOut(index: number): Promise<void> {
    const [before, identity] = [befores[index], identities.get(index)];
    if (before === undefined || identity === undefined) throw new Error("the host was not a member");
    await expectOut(at(index), { before });
    await expectRefused(identity, at(index), [at(0), at(1)]);
  }

  test("[B19] a control plane and a worker go one after the other, not before their time; what is back learns it", async () => {
    await expectAgreement(hosts);
    await Promise.all([at(2).cutPower(), at(3).cutPower()]);
    const cut = performance.now();
    const present = async () => Object.keys(await members(at(0))).length;
    await expect.poll(present, { timeout: 150_000, interval: 500 }).toBe(3);
    expect(performance.now() - cut).toBeGreaterThan(60_000);
    await expectAgreement([at(0), at(1)], { timeoutMs: 60_000 });
    for (const index of [2, 3]) {
      await at(index).boot();
      await isOut(index);
    }
  });
});
