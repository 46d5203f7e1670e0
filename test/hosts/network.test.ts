import { describe, expect, it } from "vitest";
import { hostsUnavailable } from "./available.ts";
import { killGroup } from "./exec.ts";
import { createHost } from "./host.ts";
import { createNetwork } from "./network.ts";
import { findTestLayer } from "./test-layer.ts";
import type { Host } from "./types.ts";

const layer = findTestLayer();
const reason =
  hostsUnavailable() ?? (layer === undefined ? "no host layer; make it with test/kubernetes/main.ts" : undefined);
if (reason !== undefined) console.log(`skipped: ${reason}`);

/** The Node of these tests, which need not be in /usr. */
const node = { from: process.execPath, to: "/opt/node/bin/node", readOnly: true };

/** Plain hosts: what the network does to them does not depend on their init. */
async function hostsOn(count: number, ipv6Subnet?: string) {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(
    await createNetwork({ toolsDir: layer ?? "", ...(ipv6Subnet === undefined ? {} : { ipv6Subnet }) }),
  );
  const names = Array.from({ length: count }, (_, index) => `n${index + 1}`);
  const make = (name: string) => createHost({ name, network, systemd: false, usrLayers: [layer ?? ""], binds: [node] });
  const hosts = await Promise.all(names.map(make));
  for (const host of hosts) stack.use(host);
  const owned = stack.move();
  return { network, hosts, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function answers(from: Host, address: string): Promise<boolean> {
  return (await from.tryRun(["ping", "-c", "1", "-W", "1", address])).exitCode === 0;
}

/** After a partition a host asks once a second where the other is, so healing takes up to that long to be seen. */
async function expectAnswers(from: Host, to: Host): Promise<void> {
  await expect.poll(() => answers(from, to.address), { timeout: 5000 }).toBe(true);
}

/** How many of 200 pings in quick succession were answered. */
async function answered(from: Host, to: Host): Promise<number> {
  const { stdout } = await from.tryRun(["ping", "-q", "-c", "200", "-i", "0.002", "-W", "0.2", to.address]);
  return Number(/(\d+) received/.exec(stdout)?.[1]);
}

async function roundTripMs(from: Host, to: Host): Promise<number> {
  const { stdout } = await from.run("ping", "-q", "-c", "10", "-i", "0.01", to.address);
  return Number(/= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1]);
}

describe.skipIf(reason !== undefined)("a network", () => {
  it("lets hosts reach each other by both address families, and the switch reach them", async () => {
    await using setup = await hostsOn(2, "fd77::/64");
    const [a, b] = setup.hosts as [Host, Host];
    expect(await answers(a, b.address)).toBe(true);
    expect(b.ipv6Address).toMatch(/^fd77::[12]$/);
    expect(await answers(a, b.ipv6Address ?? "")).toBe(true);
    expect(
      (await setup.network.run("sh", "-c", `echo | timeout 2 bash -c 'cat < /dev/tcp/${a.address}/9' 2>&1; true`))
        .stdout,
    ).toContain("refused");
  });

  it("says at once that there is nothing outside", async () => {
    await using setup = await hostsOn(1);
    const result = await setup.hosts[0]?.tryRun(["ping", "-c", "1", "-W", "5", "192.0.2.1"]);
    expect(result?.stdout).toContain("Unreachable");
  });

  it("cuts one host from all others, and heals", async () => {
    await using setup = await hostsOn(3);
    const [a, b, c] = setup.hosts as [Host, Host, Host];
    await a.partition();
    expect(await Promise.all([answers(b, a.address), answers(a, c.address), answers(b, c.address)])).toEqual([
      false,
      false,
      true,
    ]);
    await a.heal();
    await expectAnswers(b, a);
    await expectAnswers(a, c);
  });

  it("cuts one direction alone", async () => {
    await using setup = await hostsOn(2);
    const [a, b] = setup.hosts as [Host, Host];
    await answers(a, b.address); // so that both know where the other is
    const program = `require("dgram").createSocket("udp4").on("message", (m) => process.stdout.write(m)).bind(9000)`;
    const listener = b.spawn([node.to, "-e", program]);
    let heard = "";
    listener.stdout.on("data", (data) => {
      heard += data;
    });
    await expect.poll(() => b.run("cat", "/proc/net/udp").then((r) => r.stdout)).toContain(":2328");
    const send = (word: string) => a.run("bash", "-c", `echo ${word} > /dev/udp/${b.address}/9000`);
    await b.partition("outgoing");
    await send("through");
    await expect.poll(() => heard).toBe("through\n");
    expect(await answers(a, b.address)).toBe(false);
    await b.partition("incoming");
    await send("lost");
    await b.heal();
    await send("again");
    await expect.poll(() => heard).toBe("through\nagain\n");
    killGroup(listener);
  });

  it("parts two hosts that both still reach the third", async () => {
    await using setup = await hostsOn(3);
    const [a, b, c] = setup.hosts as [Host, Host, Host];
    await a.partitionFrom(b);
    const reach = () =>
      Promise.all([answers(a, b.address), answers(b, a.address), answers(a, c.address), answers(b, c.address)]);
    expect(await reach()).toEqual([false, false, true, true]);
    await a.partitionFrom(c);
    expect(await reach()).toEqual([false, false, false, true]);
    await setup.network.heal();
    await expectAnswers(a, b);
    await expectAnswers(a, c);
    expect(await reach()).toEqual([true, true, true, true]);
  });

  it("loses packets, and stays parted over a reboot until it is healed", async () => {
    await using setup = await hostsOn(2);
    const [a, b] = setup.hosts as [Host, Host];
    await answers(a, b.address); // so that no question where the other is gets lost
    await b.loss(30);
    // There and back: 200 × 0.7 × 0.7 = 98; four standard deviations are 28.
    const count = await answered(a, b);
    expect(count).toBeGreaterThan(70);
    expect(count).toBeLessThan(126);
    await b.heal();
    expect(await answered(a, b)).toBe(200);
    await b.partition();
    await b.cutPower();
    await b.boot();
    expect(await answers(a, b.address)).toBe(false);
    await b.heal();
    await expectAnswers(a, b);
  });

  it("delays packets, in order and with jitter, and stops", async () => {
    await using setup = await hostsOn(2);
    const [a, b] = setup.hosts as [Host, Host];
    await b.delay(50);
    expect(await roundTripMs(a, b)).toBeGreaterThan(50);
    await b.delay(20, 10);
    await a.delay(20);
    const both = await roundTripMs(a, b);
    expect(both).toBeGreaterThan(30);
    await b.heal();
    await a.heal();
    expect(await roundTripMs(a, b)).toBeLessThan(20);
  });

  it("carries large transfers unharmed over a delayed link, which stays delayed over a reboot", async () => {
    await using setup = await hostsOn(2);
    const [a, b] = setup.hosts as [Host, Host];
    await b.delay(5);
    await b.cutPower();
    await b.boot();
    expect(await roundTripMs(a, b)).toBeGreaterThan(5);
    const server = `require("net").createServer((s) => { const h = require("crypto").createHash("md5");
      s.on("data", (d) => h.update(d)).on("end", () => console.log(h.digest("hex"))) }).listen(9000)`;
    const listener = b.spawn([node.to, "-e", server]);
    let heard = "";
    listener.stdout.on("data", (data) => {
      heard += data;
    });
    await expect.poll(() => b.run("cat", "/proc/net/tcp6").then((r) => r.stdout)).toContain(":2328");
    const send = "seq 1 2000000 > /tmp/f; cat /tmp/f > /dev/tcp/$0/9000; md5sum < /tmp/f";
    const sent = (await a.run("bash", "-c", send, b.address)).stdout.split(" ")[0];
    await expect.poll(() => heard.trim(), { timeout: 10_000 }).toBe(sent);
    killGroup(listener);
  });

  it("forgets the faults of a host that is gone, and gives its address to the next", async () => {
    await using setup = await hostsOn(1);
    const [a] = setup.hosts as [Host];
    const gone = await createHost({ network: setup.network, systemd: false });
    await gone.partition();
    await gone.destroy();
    await using next = await createHost({ network: setup.network, systemd: false });
    expect(next.address).toBe(gone.address);
    expect(await answers(a, next.address)).toBe(true);
    await expect(createHost({ network: setup.network, address: next.address })).rejects.toThrow(/another one has it/);
    await expect(createHost({ network: setup.network, address: "10.78.0.1" })).rejects.toThrow(/outside/);
  });

  it("moves the clock of Node, in commands and in services", async (context) => {
    await using setup = await hostsOn(0);
    await using host = await createHost({
      name: "clock",
      network: setup.network,
      usrLayers: [layer ?? ""],
      binds: [node],
    });
    if ((await host.tryRun(["sh", "-c", "ls /usr/lib/*/faketime"])).exitCode !== 0)
      return context.skip("no libfaketime in the layer");
    const now = async () => Number((await host.run(node.to, "-p", "Date.now()")).stdout);
    await host.clockSkew(3600);
    expect((await now()) - Date.now()).toBeGreaterThan(3_590_000);
    await host.run("systemd-run", "--wait", "-p", "StandardOutput=file:/var/now", node.to, "-p", "Date.now()");
    expect(Number(await host.readFile("/var/now")) - Date.now()).toBeGreaterThan(3_590_000);
    await host.clockSkew(-3600);
    expect((await now()) - Date.now()).toBeLessThan(-3_590_000);
    await host.clockSkew(0);
    expect(Math.abs((await now()) - Date.now())).toBeLessThan(10_000);
  });
});
