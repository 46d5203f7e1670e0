import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, kubectl } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { callDaemon, createNode, createNodeNetwork } from "../../node.ts";
import { type Staged, stagedForTests } from "../../stage.ts";
import { etcdConfig, joins, joinToken } from "./nodes.ts";
import { fetches, fieldOf, startPod } from "./pods.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const v6Config = `${etcdConfig}pod-cidr: fd01::/48\nservice-cidr: fd98::/108\n`;
const dualConfig = `pod-cidr: 10.1.0.0/16,fd01::/48
service-cidr: 10.152.183.0/24,fd98::/108
cluster-config: { network: { enabled: true } }
`;

let staged: Staged;
let network: Network;
let hosts: readonly Host[] = [];
const at = (index: number): Host => {
  const host = hosts[index];
  if (host === undefined) throw new Error("the host was not made");
  return host;
};
const v6 = (host: Host): string => {
  if (host.ipv6Address === undefined) throw new Error("the host has no IPv6 address");
  return host.ipv6Address;
};

async function createHosts(count: number, flags: readonly string[], names: readonly string[] = []): Promise<void> {
  staged = await stagedForTests();
  network = await createNodeNetwork(staged, { ipv6Subnet: "fd77::/64" });
  hosts = await Promise.all(
    Array.from({ length: count }, (_, index) => {
      const name = names[index];
      return createNode({ staged, network, flags, ...(name === undefined ? {} : { name }) });
    }),
  );
}
async function removeHosts(): Promise<void> {
  await Promise.all(hosts.map((host) => host[Symbol.asyncDispose]()));
  await network?.[Symbol.asyncDispose]();
}

/** Name and addresses as the ledger has them. */
async function addressesOf(host: Host): Promise<Record<string, readonly string[]>> {
  const { metadata } = await callDaemon(host, "GET", "/1.0/k8sd/members");
  const { members } = metadata as { members: { name: string; addresses: string[]; "k8sd-address": string }[] };
  return Object.fromEntries(members.map((each) => [each.name, [each["k8sd-address"], ...each.addresses]]));
}

describe.skipIf(reason !== undefined)("hosts that have IPv6 alone", () => {
  beforeAll(async () => {
    await createHosts(4, ["--agent-only"]);
    for (const host of hosts) {
      await host.run("ip", "-4", "addr", "flush", "dev", "eth0");
      await host.run("ip", "-4", "addr", "flush", "dev", "lo");
    }
    await bootstrap(at(0), v6Config, `[${v6(at(0))}]`);
  });
  afterAll(removeHosts);

  test("become three control planes and a worker", async () => {
    const [founder, c2, c3, w1] = [at(0), at(1), at(2), at(3)];
    const address = (host: Host) => ["--address", `[${v6(host)}]:6400`];
    await Promise.all([
      joins(c2, "c2", await joinToken(founder, "c2"), ...address(c2)),
      joins(c3, "c3", await joinToken(founder, "c3"), "--address", "fd77::/64"),
      joins(w1, "w1", await joinToken(founder, "--worker", "--cidr", "fd77::/64"), ...address(w1)),
    ]);
    for (const host of [founder, c2, c3]) await becomesReady(host);
    await expectAgreement(hosts);
    expect(await addressesOf(c3)).toMatchObject({
      c2: [`[${v6(c2)}]:6400`, v6(c2)],
      c3: [`[${v6(c3)}]:6400`, v6(c3)],
      w1: [`[${v6(w1)}]:6400`, v6(w1)],
    });
  });

  test("a token that is for an IPv4 network lets none of them in", async () => {
    const token = await joinToken(at(0), "--worker", "--cidr", "10.0.0.0/8");
    await using late = await createNode({ staged, network, flags: ["--agent-only"] });
    await expect(joins(late, "late", token, "--address", `[${v6(late)}]`)).rejects.toThrow(
      /the token cannot be used from fd77::/,
    );
  });
});

describe.skipIf(reason !== undefined)("a dual-stack cluster", () => {
  beforeAll(async () => {
    await createHosts(2, [], ["Control.Example.LAN", "WORKER.Example.LAN"]);
    await bootstrap(at(0), dualConfig);
    await becomesReady(at(0));
  });
  afterAll(removeHosts);

  test("takes in a worker by its IPv6 address, under its host name in lower case [F41]", async () => {
    const [founder, worker] = [at(0), at(1)];
    await joins(worker, "", await joinToken(founder, "--worker"), "--address", `[${v6(worker)}]`);
    await kubectl(founder, "wait", "node/worker.example.lan", "--for=condition=Ready", "--timeout=120s");
    await expectAgreement(hosts);
    expect(await addressesOf(founder)).toEqual({
      "control.example.lan": [`${founder.address}:6400`, founder.address, v6(founder)],
      "worker.example.lan": [`[${v6(worker)}]:6400`, v6(worker), worker.address],
    });
    const ranges = () => fieldOf(founder, "node", "worker.example.lan", ".spec.podCIDRs");
    await expect.poll(ranges, { timeout: 30_000 }).toBe('["10.1.1.0/24","fd01::100/120"]');
  });

  test("pods reach each other over both", async () => {
    const founder = at(0);
    await startPod(founder, "web", "worker.example.lan");
    await startPod(founder, "talker", "control.example.lan", "sleep", "3600");
    const ips = JSON.parse(await fieldOf(founder, "pod", "web", ".status.podIPs")) as { ip: string }[];
    expect(ips).toHaveLength(2);
    for (const { ip } of ips) await fetches(founder, "talker", ip, "web");
  });
});
