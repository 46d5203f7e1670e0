import { existsSync, lstatSync, readFileSync } from "node:fs";
import { findOnPath } from "./on-path.ts";

const capSysAdmin = 1n << 21n;
const capNetAdmin = 1n << 12n;

/** Why test hosts cannot run on this machine, in words for a person; undefined when they can. */
export function hostsUnavailable(): string | undefined {
  if (process.platform !== "linux") return "test hosts need Linux";
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const held = BigInt(`0x${effective}`);
  if ((held & capSysAdmin) === 0n || (held & capNetAdmin) === 0n || process.getuid?.() !== 0) {
    return "test hosts need root with CAP_SYS_ADMIN and CAP_NET_ADMIN; run this as root, or in a container started with --privileged";
  }
  const programs = ["unshare", "nsenter", "mount", "pivot_root", "ip", "curl", "sh", "env"];
  const missing = programs.filter((program) => findOnPath(program) === undefined);
  if (missing.length > 0) return `test hosts need ${missing.join(", ")}; install util-linux, iproute2 and curl`;
  if (!lstatSync("/bin").isSymbolicLink()) return "test hosts need a machine whose /bin lies in /usr";
  if (!existsSync("/usr/lib/systemd/systemd"))
    return "test hosts need systemd in /usr/lib/systemd; it need not be running";
  return undefined;
}
