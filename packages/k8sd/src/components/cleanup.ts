import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import { podNamespaces, removeContainers, removeNamespace } from "../host/containers.ts";
import type { Host } from "../host/host.ts";
import { exists } from "../lib/read-file.ts";
import { withoutKubernetes } from "./firewall.ts";
import { bridgeName } from "./network/cni-config.ts";
import { routeProtocol } from "./network/route-protocol.ts";
import { removePods } from "./pods.ts";

type Cleaned = Pick<Host, "paths" | "run">;

/** What a program leaves on the machine when it is stopped for good, beside its files. Idempotent. */
const leftovers: Readonly<Record<string, (host: Cleaned, signal: AbortSignal) => Promise<void>>> = {
  containerd: async (host, signal) => {
    const namespaces = await podNamespaces(host.paths.containerd.stateDir);
    await removeContainers(host, signal);
    for (const path of namespaces) await removeNamespace(path, host, signal);
    await host.run(["ip", "link", "delete", bridgeName], { signal, okExitCodes: [1] });
    await rmdir(join(host.paths.root, "run/netns")).catch(() => {
      // Somebody has network namespaces of his own, or there never was one.
    });
  },
  kubelet: async (host, signal) => {
    // Nobody starts them again, and containerd, which stops later, gives back what the network gave them.
    await removePods(host.paths.containerd.socket, signal);
    await cleanRoutes(host, signal);
    await cleanFirewall(host, signal);
    await stopPodSlices(host, signal);
  },
  "kube-proxy": async (host, signal) => {
    await host.run([`${host.paths.bin}/kube-proxy`, "--cleanup"], { signal });
    await cleanFirewall(host, signal);
  },
};

export async function cleanAfter(service: string, host: Cleaned, signal: AbortSignal): Promise<void> {
  await leftovers[service]?.(host, signal);
}

/** What runs or ran in pods, when no program of the node runs that could end it. */
export async function cleanContainers(host: Cleaned, signal: AbortSignal): Promise<void> {
  await cleanAfter("containerd", host, signal);
  await stopPodSlices(host, signal);
}

/** Of pods, likewise. */
export async function cleanNetwork(host: Cleaned, signal: AbortSignal): Promise<void> {
  await cleanRoutes(host, signal);
  await host.run(["ip", "link", "delete", bridgeName], { signal, okExitCodes: [1] });
  await cleanFirewall(host, signal);
  // Last: it needs a program of the package.
  await cleanAfter("kube-proxy", host, signal);
}

/** To the pods of other nodes. */
async function cleanRoutes(host: Cleaned, signal: AbortSignal): Promise<void> {
  for (const family of ["-4", "-6"]) {
    // It fails where the kernel has no such family, and then there are no routes.
    await host.run(["ip", family, "route", "flush", "proto", routeProtocol], { signal, okExitCodes: [1, 2] });
  }
}

async function cleanFirewall(host: Cleaned, signal: AbortSignal): Promise<void> {
  for (const family of ["iptables", "ip6tables"]) {
    const { stdout } = await host.run([`${family}-save`], { signal });
    const input = withoutKubernetes(stdout);
    if (input !== "") await host.run([`${family}-restore`, "--noflush"], { signal, input });
  }
}

/** systemd keeps the slices that kubelet asked it for; stopping the outer one ends those in it. */
async function stopPodSlices(host: Cleaned, signal: AbortSignal): Promise<void> {
  const slices = ["kubepods-besteffort.slice", "kubepods-burstable.slice", "kubepods.slice"];
  const systemd = await exists("/run/systemd/system");
  const notLoaded = 5;
  if (systemd) await host.run(["systemctl", "stop", ...slices], { signal, okExitCodes: [notLoaded] });
}
