import { decodeJoinToken, encodeJoinToken } from "@k8sd/k8sd/cluster/tokens-encoding.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAgreement } from "../../expect-agreement.ts";
import { bootstrap, daemonState, k8s } from "../../expect-node.ts";
import { hostsUnavailable } from "../../hosts/available.ts";
import type { Network } from "../../hosts/network.ts";
import { scanHost } from "../../hosts/scan.ts";
import type { Host } from "../../hosts/types.ts";
import { createNode, createNodeNetwork } from "../../node.ts";
import { stagedForTests } from "../../stage.ts";
import { etcdConfig, join, joins, joinToken, members } from "../join/nodes.ts";

const reason = hostsUnavailable();
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("a token on the way to a cluster", () => {
  let network: Network;
  let hosts: readonly Host[] = [];
  const at = (index: number): Host => {
    const host = hosts[index];
    if (host === undefined) throw new Error("the host was not made");
    return host;
  };

  beforeAll(async () => {
    const staged = await stagedForTests();
    network = await createNodeNetwork(staged);
    hosts = await Promise.all(
      Array.from({ length: 5 }, () => createNode({ staged, network, flags: ["--agent-only"] })),
    );
    await bootstrap(at(0), etcdConfig);
    for (const index of [1, 2]) await joins(at(index), `c${index}`, await joinToken(at(0), `c${index}`));
  });
  afterAll(async () => {
    await Promise.all(hosts.map((host) => host[Symbol.asyncDispose]()));
    await network?.[Symbol.asyncDispose]();
  });

  const seconds = async (work: () => Promise<unknown>): Promise<number> => {
    const began = performance.now();
    await work();
    return (performance.now() - began) / 1000;
  };

  test("finds the control plane that answers, while others swallow what is sent to them [A4] [J58]", async () => {
    const token = await joinToken(at(0), "w1", "--worker");
    expect(decodeJoinToken(token).addresses).toHaveLength(3);
    await at(0).partition();
    // Two of three are left, so the cluster goes on; etcd may have to choose a leader first.
    expect(await seconds(() => joins(at(3), "w1", token))).toBeLessThan(30);
    await network.heal();
    await expectAgreement(hosts.slice(0, 4));
  });

  test("goes through although it names an address that the node had before, and one that is nobody's [A5]", async () => {
    const ticket = decodeJoinToken(await joinToken(at(0), "w2", "--worker"));
    const old = at(4).address;
    // The node has another address now; the old one is its own no more, and leads nowhere.
    await at(4).run("ip", "addr", "del", `${old}/24`, "dev", "eth0");
    await at(4).run("ip", "addr", "add", "10.77.0.200/24", "dev", "eth0");
    const token = encodeJoinToken({ ...ticket, addresses: [`${old}:6400`, "10.77.0.222:6400", ...ticket.addresses] });
    const result = await k8s(at(4), ["join-cluster", token, "--name", "w2"]);
    expect(result.exitCode, result.stderr).toBe(0);
    expect(await members(at(0))).toMatchObject({ w2: "active" });
  });

  test("of a cluster whose control planes are all out of reach names each with its reason, and is as good as before [A8] [J59]", async () => {
    const staged = await stagedForTests();
    await using late = await createNode({ staged, network, flags: ["--agent-only"] });
    const before = await late.snapshot();
    const token = await joinToken(at(0), "late", "--worker");
    await late.partition();
    const failed = await join(late, "late", token);
    expect(failed.exitCode).toBe(1);
    for (const host of hosts.slice(0, 3)) {
      expect(failed.stderr).toMatch(new RegExp(`${host.address}:6400: (no answer within 5 s|.*EHOSTUNREACH)`));
    }
    expect(failed.stderr).toContain("Check the network and the firewall");
    expect((await scanHost(late, before)).filter((line) => !daemonState.test(line))).toEqual([]);
    await network.heal();
    await joins(late, "late", token);
  });

  test("is good on a host whose own name does not resolve [A8]", async () => {
    const staged = await stagedForTests();
    await using nameless = await createNode({ staged, network, flags: ["--agent-only"] });
    await nameless.writeFile("/etc/hosts", "");
    await nameless.run("hostname", "nowhere.invalid");
    expect((await nameless.tryRun(["getent", "hosts", "nowhere.invalid"])).exitCode).not.toBe(0);
    const result = await k8s(nameless, ["join-cluster", await joinToken(at(1), "--worker")]);
    expect(result.exitCode, result.stderr).toBe(0);
    expect(await members(at(0))).toMatchObject({ "nowhere.invalid": "active" });
  });

  test("is good on a host whose downloads go through a proxy: what nodes say to each other does not [J57]", async () => {
    const staged = await stagedForTests();
    const proxy = "http://10.77.0.223:3128";
    const env = Object.fromEntries(
      ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"].map((key) => [key, proxy]),
    );
    await using behind = await createNode({ staged, network, flags: ["--agent-only"], env });
    await joins(behind, "behind", await joinToken(at(0), "behind", "--worker"));
    await using voter = await createNode({ staged, network, flags: ["--agent-only"], env });
    await joins(voter, "voter", await joinToken(at(0), "voter"));
    await expect.poll(() => members(voter), { timeout: 30_000 }).toMatchObject({ behind: "active", voter: "active" });
    expect((await k8s(at(0), ["remove-node", "voter"])).exitCode).toBe(0);
  });

  test("is shown with what became of it, and taken back [A13] [G44] [G45]", async () => {
    await joinToken(at(0), "open", "--worker", "--cidr", "10.77.0.0/24");
    await joinToken(at(0), "short", "--worker", "--expires-in", "1s");
    const revoked = await joinToken(at(0), "taken-back", "--worker");
    expect(revoked).not.toBe("");
    const list = async (): Promise<Record<string, string>> => {
      const { stdout } = await k8s(at(2), ["tokens", "--output-format", "json"]);
      const { tokens } = JSON.parse(stdout) as { tokens: { id: string; name: string; state: string }[] };
      return Object.fromEntries(tokens.map(({ name, state, id }) => [name, `${state} ${id}`]));
    };
    const id = (await list())["taken-back"]?.split(" ")[1] ?? "";
    expect((await k8s(at(1), ["revoke-token", id])).exitCode).toBe(0);
    await expect.poll(list).toMatchObject({
      w1: expect.stringMatching(/^used-up /),
      open: expect.stringMatching(/^valid /),
      short: expect.stringMatching(/^expired /),
      "taken-back": expect.stringMatching(/^revoked /),
    });
  });
});
