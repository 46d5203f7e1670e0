import { join } from "node:path";

const machinePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** PATH of what the node runs. The package's programs first (runc, the shim, iptables, mount helpers), then the machine's. */
export function searchPath(snap: string, machine = machinePath): string {
  const own = ["usr/sbin", "usr/bin", "sbin", "bin"].map((folder) => join(snap, folder));
  return [...own, machine].join(":");
}
