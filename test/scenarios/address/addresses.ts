import type { Host } from "../../hosts/types.ts";

/** An address on the host's network that no other host gets: hosts are numbered from 1. */
export function otherAddress(host: Host, by = 100): string {
  const parts = host.address.split(".");
  return [...parts.slice(0, 3), Number(parts[3]) + by].join(".");
}

const script = (gateway: string, from: readonly string[], to: string): string =>
  [
    "echo 1 > /proc/sys/net/ipv4/conf/eth0/promote_secondaries",
    `ip addr replace ${to}/24 dev eth0`,
    ...from.map((address) => `ip addr del ${address}/24 dev eth0 2>/dev/null || true`),
    `ip route replace default via ${gateway}`,
  ].join("; ");

export async function addAddress(host: Host, address: string): Promise<void> {
  await host.run("sh", "-c", script(host.network.gateway, [], address));
}

export async function dropAddress(host: Host, address: string, instead: string): Promise<void> {
  await host.run("sh", "-c", script(host.network.gateway, [address], instead));
}

/** From its next boot on, before anything of ours starts. */
export async function addressFromBoot(host: Host, address: string): Promise<void> {
  const unit = [
    "[Unit]",
    "Before=k8sd.service k8s-etcd.service k8s-kube-apiserver.service k8s-kubelet.service",
    "[Service]",
    "Type=oneshot",
    `ExecStart=/bin/sh -c '${script(host.network.gateway, [host.address], address)}'`,
    "[Install]",
    "WantedBy=multi-user.target",
  ];
  await host.writeFile("/etc/systemd/system/readdress.service", `${unit.join("\n")}\n`);
  await host.run("systemctl", "daemon-reload");
  await host.run("systemctl", "enable", "readdress");
}
