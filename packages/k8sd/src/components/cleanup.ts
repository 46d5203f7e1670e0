import { removeContainers } from "../host/containers.ts";
import type { Host } from "../host/host.ts";
import { bridgeName } from "./network/cni-config.ts";

type Cleaned = Pick<Host, "paths" | "run">;

/** What a program leaves on the machine when it is stopped for good, beside its files. Idempotent. */
const leftovers: Readonly<Record<string, (host: Cleaned, signal: AbortSignal) => Promise<void>>> = {
  containerd: async (host, signal) => {
    await removeContainers(host, signal);
    await host.run(["ip", "link", "delete", bridgeName], { signal, okExitCodes: [1] });
  },
  "kube-proxy": async (host, signal) => {
    await host.run([`${host.paths.bin}/kube-proxy`, "--cleanup"], { signal });
  },
};

export async function cleanAfter(service: string, host: Cleaned, signal: AbortSignal): Promise<void> {
  await leftovers[service]?.(host, signal);
}
