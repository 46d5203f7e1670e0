import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { becomesReady, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Host } from "../../hosts/types.ts";
import { callDaemon, createNode, waitForDaemon } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { etcdMembers, joins, joinToken } from "../join/nodes.ts";
import { createThree, epochOf, etcdctl, put, read, type Three } from "../recover/three.ts";
import { addAddress, addressFromBoot, dropAddress, otherAddress } from "./addresses.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** Address of each member, as this node sees it. */
async function addresses(host: Host): Promise<Record<string, string>> {
  const { metadata } = await callDaemon(host, "GET", "/1.0/k8sd/members");
  const { members = [] } = (metadata ?? {}) as { members?: { name: string; "k8sd-address": string }[] };
  return Object.fromEntries(members.map((member) => [member.name, member["k8sd-address"]]));
}

describe.skipIf(reason !== undefined)("addresses of a cluster of three", () => {
  let three: Three;
  let worker: Host;
  const at: Record<string, string> = {};

  beforeAll(async () => {
    three = await createThree();
    worker = await createNode({
      name: "w1",
      staged: await stagedForTests(),
      network: three.network,
      flags: ["--agent-only"],
    });
    await joins(worker, "w1", await joinToken(three.n1, "--worker"));
    for (const host of [three.n1, three.n2, three.n3, worker]) at[host.name] = host.address;
  });
  afterAll(async () => {
    await worker?.[Symbol.asyncDispose]();
    await three?.[Symbol.asyncDispose]();
  });

  const everywhere = (): Record<string, string> =>
    Object.fromEntries(Object.entries(at).map(([name, address]) => [name, `${address}:6400`]));

  async function allAgree(): Promise<void> {
    const { n1, n2, n3 } = three;
    await expectAgreement([n1, n2, n3, worker], { timeoutMs: 120_000 });
    for (const host of [n1, n2, n3]) {
      await expect.poll(() => addresses(host), { timeout: 30_000 }).toEqual(everywhere());
    }
    const list = await etcdctl(n1, "member", "list");
    for (const host of [n1, n2, n3]) expect(list).toContain(`https://${at[host.name]}:2380`);
  }

  test("one control plane gets another one; all hear of it, and the other two work all the while", async () => {
    const { n1, n2 } = three;
    const address = otherAddress(n2);
    await addAddress(n2, address);
    const result = await k8s(n2, ["set-address", address, "--output-format", "json"]);
    expect(result.exitCode, result.stderr).toBe(0);
    expect(JSON.parse(result.stdout)).toEqual({
      name: n2.name,
      address: `${address}:6400`,
      addresses: [address],
      peers: {},
    });
    await dropAddress(n2, n2.address, address);
    at[n2.name] = address;
    await becomesReady(n2);
    await put(n1, "moved", "yes");
    expect(await read(n2, "moved")).toBe("yes");
    await allAgree();
  });

  test("a worker gets another one", async () => {
    const address = otherAddress(worker);
    await addAddress(worker, address);
    const result = await k8s(worker, ["set-address", address]);
    expect(result.exitCode, result.stderr).toBe(0);
    await dropAddress(worker, worker.address, address);
    at[worker.name] = address;
    await allAgree();
    const { stdout } = await worker.run("openssl", "x509", "-noout", "-text", "-in", "/etc/kubernetes/pki/kubelet.crt");
    expect(stdout).toContain(`IP Address:${address}`);
    expect(stdout).not.toContain(`IP Address:${worker.address},`);
  });

  test("a worker that has another one after a reboot asks a control plane for its certificates by itself", async () => {
    const address = otherAddress(worker, 120);
    await addressFromBoot(worker, address);
    await worker.powerOff();
    await worker.boot();
    await waitForDaemon(worker);
    at[worker.name] = address;
    await expect.poll(() => addresses(three.n1), { timeout: 60_000 }).toEqual(everywhere());
    await allAgree();
    const { stdout } = await worker.run("openssl", "x509", "-noout", "-text", "-in", "/etc/kubernetes/pki/kubelet.crt");
    expect(stdout).toContain(`IP Address:${address}`);
  });

  test("nobody takes the address of another node", async () => {
    const { n1, n3 } = three;
    await addAddress(worker, at[n3.name] ?? "");
    const result = await k8s(worker, ["set-address", at[n3.name] ?? ""]);
    expect(result.exitCode).toBe(1);
    expect(result.stderr).toContain(`cannot take the address of ${n3.name}`);
    await dropAddress(worker, at[n3.name] ?? "", at[worker.name] ?? "");
    await expect.poll(() => addresses(n1), { timeout: 30_000 }).toEqual(everywhere());
  });

  test("one control plane that has another one after a reboot takes part again by itself", async () => {
    const { n3 } = three;
    const address = otherAddress(n3);
    await addressFromBoot(n3, address);
    await n3.powerOff();
    await n3.boot();
    await waitForDaemon(n3);
    at[n3.name] = address;
    await becomesReady(n3, "90s");
    await allAgree();
  });

  test("all have others at once after a power cut; one command on one of them brings the cluster back [F40]", async () => {
    const { n1, n2, n3 } = three;
    const all = [n1, n2, n3];
    await put(n1, "before", "kept");
    for (const host of all) {
      at[host.name] = otherAddress(host, 150);
      await addressFromBoot(host, at[host.name] ?? "");
    }
    await Promise.all(all.map((host) => host.cutPower()));
    await Promise.all(all.map((host) => host.boot()));
    await Promise.all(all.map(waitForDaemon));
    const own = async (host: Host): Promise<string> => {
      const { stdout } = await k8s(host, ["local-node-status", "--output-format", "json"]);
      return (JSON.parse(stdout) as { address: string }).address;
    };
    for (const host of all) {
      await expect.poll(() => own(host), { timeout: 90_000 }).toBe(`${at[host.name]}:6400`);
    }
    const hints = [n2, n3].flatMap(({ name }) => ["--peer", `${name}=${at[name]}`]);
    const told = await k8s(n1, ["set-address", ...hints]);
    expect(told.exitCode, told.stderr).toBe(0);
    expect(told.stdout).toContain(`${n2.name} knows the new addresses`);
    expect(told.stdout).toContain(`${n3.name} knows the new addresses`);
    await expect
      .poll(() => etcdMembers(n1).catch(String), { timeout: 120_000 })
      .toEqual({
        n1: "voter",
        n2: "voter",
        n3: "voter",
      });
    for (const host of all) {
      await becomesReady(host);
      expect(await epochOf(host)).toBe(2);
      expect(await read(host, "before")).toBe("kept");
    }
    // A worker is told where one of them is; from that one it hears the rest.
    const hinted = await k8s(worker, ["set-address", "--peer", `${n1.name}=${at[n1.name]}`]);
    expect(hinted.exitCode, hinted.stderr).toBe(0);
    await allAgree();
  });
});
