import { describe, expect, it } from "vitest";
import { hostsUnavailable } from "./available.ts";
import { createHost } from "./host.ts";
import { scanHost } from "./scan.ts";
import { findTestLayer } from "./test-layer.ts";

const layer = findTestLayer();
const reason =
  hostsUnavailable() ?? (layer === undefined ? "no host layer; make it with test/kubernetes/main.ts" : undefined);
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("a scan", () => {
  it("finds nothing on a host that did nothing, or that undid all it did", async () => {
    await using host = await createHost({ name: "n1", usrLayers: [layer ?? ""] });
    const before = await host.snapshot();
    await host.run("sh", "-c", "touch /var/lib/x && rm /var/lib/x; ip link add c0 type bridge; ip link del c0");
    await host.run("systemctl", "daemon-reload");
    expect(await scanHost(host, before)).toEqual([]);
    await host.cutPower();
    await host.boot();
    expect(await scanHost(host, before)).toEqual([]);
  });

  it("names files, changed files, units, mounts, interfaces, routes, rules and processes that were left", async () => {
    await using host = await createHost({ name: "n1", usrLayers: [layer ?? ""] });
    const before = await host.snapshot();
    await host.writeFile("/etc/systemd/system/left.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    await host.writeFile("/var/lib/left", "");
    await host.run("sh", "-c", "echo changed >> /etc/hosts; mkdir -p /run/left && mount -t tmpfs left /run/left");
    await host.run("systemctl", "start", "left");
    await host.run("systemd-run", "--unit=left-process", "tail", "-f", "/dev/null");
    await host.run("sh", "-c", "ip link add left0 type bridge; ip route add 10.1.0.0/16 via 10.77.0.254");
    await host.run("iptables", "-A", "FORWARD", "-s", "10.1.0.0/16", "-j", "ACCEPT");
    await host.run("nft", "add table inet left");
    const left = (await scanHost(host, before)).join("\n");
    for (const found of [
      /^\+ file \/var\/lib\/left f$/m,
      /^\+ file \/etc\/systemd\/system\/left\.service f$/m,
      /^\+ content \/etc\/hosts /m,
      /^\+ unit left\.service active$/m,
      /^\+ mount \/run\/left /m,
      /^\+ interface left0$/m,
      /^\+ route 10\.1\.0\.0\/16 via/m,
      /^\+ firewall iptables-save -A FORWARD -s 10\.1\.0\.0\/16 -j ACCEPT$/m,
      /^\+ firewall table inet left$/m,
      /^\+ process tail$/m,
    ]) {
      expect(left).toMatch(found);
    }
  });
});
