import { join } from "node:path";
import type { Host } from "../hosts/types.ts";

/** Resident memory of a service's main process, in MiB. */
export async function resident(host: Host, unit: string): Promise<number> {
  const { stdout } = await host.run("systemctl", "show", "--property=MainPID", "--value", unit);
  const status = await host.run("cat", join("/proc", stdout.trim(), "status"));
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(status.stdout)?.[1];
  if (kib === undefined) throw new Error(`cannot read the memory of ${unit}`);
  return Number(kib) / 1024;
}
