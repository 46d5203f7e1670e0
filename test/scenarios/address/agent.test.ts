import { afterEach, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, bootstrap, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import type { Host } from "../../hosts/types.ts";
import { callDaemon, createNode, createNodeNetwork, waitForDaemon } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { etcdctl, put, read } from "../recover/three.ts";
import { addAddress, addressFromBoot, dropAddress, otherAddress } from "./addresses.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

async function ownAddress(host: Host): Promise<string> {
  const { stdout } = await k8s(host, ["local-node-status", "--output-format", "json"]);
  return (JSON.parse(stdout) as { address: string }).address;
}

/** As the other nodes would find it. */
async function listed(host: Host): Promise<string> {
  const { stdout } = await k8s(host, ["status", "--output-format", "json"]);
  return (JSON.parse(stdout) as { members: { address: string }[] }).members.map(({ address }) => address).join();
}

/** Where its k8sd is, and its addresses, as the ledger has them. */
async function known(host: Host): Promise<readonly string[]> {
  const { metadata } = await callDaemon(host, "GET", "/1.0/k8sd/members");
  const { members } = (metadata ?? {}) as { members?: { addresses: string[]; "k8sd-address": string }[] };
  return (members ?? []).flatMap((member) => [member["k8sd-address"], ...member.addresses]);
}

async function namesOf(host: Host, certificate: string): Promise<string> {
  const path = `/etc/kubernetes/pki/${certificate}`;
  return (await host.run("openssl", "x509", "-in", path, "-noout", "-ext", "subjectAltName")).stdout;
}

describe.skipIf(reason !== undefined)("the address of a node that is a cluster by itself", () => {
  let host: Host;
  afterEach(() => host?.[Symbol.asyncDispose]());

  const create = async (config: string): Promise<string> => {
    host = await createNode({ staged: await stagedForTests(), flags: ["--agent-only"] });
    await bootstrap(host, config);
    await becomesReady(host);
    return otherAddress(host);
  };
  let network: Network | undefined;
  afterEach(async () => {
    await network?.[Symbol.asyncDispose]();
    network = undefined;
  });
  const createDual = async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged, { ipv6Subnet: "fd77::/64" });
    host = await createNode({ staged, network, flags: ["--agent-only"] });
    const config = "datastore-type: etcd\npod-cidr: 10.1.0.0/16,fd01::/48\nservice-cidr: 10.152.183.0/24,fd98::/108\n";
    await bootstrap(host, config);
    await becomesReady(host);
    if (host.ipv6Address === undefined) throw new Error("the host has no IPv6 address");
    return { v4: host.address, v6: host.ipv6Address };
  };
  const answers = (address: string) =>
    host.run("curl", "-sSk", "--max-time", "5", `https://${address}:6400/core/1.0/ready`);

  test.each(["sqlite", "etcd"])(
    "is changed by one command with %s, and not to what the host does not have",
    async (type) => {
      const address = await create(`datastore-type: ${type}\n`);
      const refused = await k8s(host, ["set-address", address]);
      expect(refused.exitCode).toBe(1);
      expect(refused.stderr).toContain("no network interface of this host has it");
      await addAddress(host, address);
      const result = await k8s(host, ["set-address", address]);
      expect(result.exitCode, result.stderr).toBe(0);
      expect(result.stdout).toContain(`its k8sd listens on ${address}:6400`);
      await dropAddress(host, host.address, address);
      await becomesReady(host);
      expect(await ownAddress(host)).toBe(`${address}:6400`);
      expect(await listed(host)).toBe(`${address}:6400`);
      await answers(address);
      await expect(answers(host.address)).rejects.toThrow();
      if (type === "etcd") {
        expect(await etcdctl(host, "member", "list")).toContain(`https://${address}:2380, https://${address}:2379`);
      }
      const again = await k8s(host, ["set-address", address]);
      expect(again.exitCode, again.stderr).toBe(0);
      await expectAgreement([host]);
    },
  );

  test.each(["sqlite", "etcd"])("that is gone after a reboot is replaced by itself, with %s [F39]", async (type) => {
    const address = await create(`datastore-type: ${type}\n`);
    if (type === "etcd") await put(host, "value", "kept");
    await addressFromBoot(host, address);
    await host.powerOff();
    await host.boot();
    await waitForDaemon(host);
    await expect.poll(() => ownAddress(host), { timeout: 60_000 }).toBe(`${address}:6400`);
    await becomesReady(host);
    await answers(address);
    if (type === "etcd") expect(await read(host, "value")).toBe("kept");
    await expectAgreement([host]);
  });

  test("of two families changes in each of them, by itself and by command, and the other family can come first [F39]", async () => {
    const { v4, v6 } = await createDual();
    expect(await known(host)).toEqual([`${v4}:6400`, v4, v6]);
    const other = "fd77::5005";
    await host.run("ip", "addr", "add", `${other}/64`, "dev", "eth0", "nodad");
    await host.run("ip", "addr", "del", `${v6}/64`, "dev", "eth0");
    await host.run("systemctl", "restart", "k8sd");
    await waitForDaemon(host);
    await expect.poll(() => known(host), { timeout: 60_000 }).toEqual([`${v4}:6400`, v4, other]);
    await becomesReady(host);
    expect(await namesOf(host, "etcd/server.crt")).toContain("FD77:0:0:0:0:0:0:5005");
    const result = await k8s(host, ["set-address", `[${other}]`]);
    expect(result.exitCode, result.stderr).toBe(0);
    expect(await known(host)).toEqual([`[${other}]:6400`, other, v4]);
    await becomesReady(host);
    expect(await etcdctl(host, "member", "list")).toContain(`https://[${other}]:2380, https://[${other}]:2379`);
    await put(host, "value", "kept");
    expect(await read(host, "value")).toBe("kept");
    await expectAgreement([host]);
  });

  test("stays when only the host's name changes; the node keeps its own [F41] [F42]", async () => {
    await create("datastore-type: etcd\n");
    const before = host.name;
    await host.run("hostnamectl", "set-hostname", "Another-Name.example");
    await host.run("systemctl", "restart", "k8sd");
    await waitForDaemon(host);
    await becomesReady(host);
    const { stdout } = await k8s(host, ["local-node-status", "--output-format", "json"]);
    expect(JSON.parse(stdout)).toMatchObject({ name: before });
    await put(host, "value", "kept");
    await host.run("systemctl", "restart", "k8s-etcd");
    await becomesReady(host);
    expect(await read(host, "value")).toBe("kept");
    await expectAgreement([host]);
  });
});
