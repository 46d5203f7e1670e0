import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { exists, readTextOrEmpty } from "../lib/read-file.ts";
import { isLoopback } from "./address.ts";
import type { MachineView } from "./component.ts";

/** Bit of CAP_SYS_RESOURCE in the capability masks of /proc. */
const capSysResource = 1n << 24n;

/** Looks at the machine once, at start; reads only. `root` is "/" but in tests. */
export async function inspectMachine(root = "/"): Promise<MachineView> {
  const at = (path: string) => join(root, path);
  const [systemd, appArmor, status, conntrackMax, conntrackHash, resolvConf] = await Promise.all([
    exists(at("run/systemd/system")),
    readTextOrEmpty(at("sys/module/apparmor/parameters/enabled")),
    readTextOrEmpty(at("proc/self/status")),
    writable(at("proc/sys/net/netfilter/nf_conntrack_max")),
    writable(at("sys/module/nf_conntrack/parameters/hashsize")),
    findResolvConf([at("run/systemd/resolve/resolv.conf"), at("etc/resolv.conf")]),
  ]);
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return {
    systemd,
    appArmor: appArmor.trim() === "Y",
    oomScoreAdjustable: effective !== undefined && (BigInt(`0x${effective}`) & capSysResource) !== 0n,
    conntrackWritable: conntrackMax && conntrackHash,
    resolvConf,
  };
}

/** The first file whose name servers all can be reached from a pod; loopback resolvers of the machine cannot. */
async function findResolvConf(candidates: readonly string[]): Promise<string | undefined> {
  for (const path of candidates) {
    const servers = (await readTextOrEmpty(path))
      .split("\n")
      .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1])
      .filter((server) => server !== undefined);
    if (servers.length > 0 && !servers.some(isLoopback)) return path;
  }
  return undefined;
}

/** False also for a missing file: without the kernel's connection tracking there is nothing to set. */
async function writable(path: string): Promise<boolean> {
  return access(path, constants.W_OK).then(
    () => true,
    () => false,
  );
}
