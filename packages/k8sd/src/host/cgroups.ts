import { existsSync, statfsSync } from "node:fs";
import { join } from "node:path";

/** CGROUP2_SUPER_MAGIC of linux/magic.h. */
const cgroup2Magic = 0x63677270;

/** Which control groups the machine has: "hybrid" has the version 1 controllers beside an empty version 2 tree. */
export function detectCgroups(mount: string): "v1" | "v2" | "hybrid" {
  if (!existsSync(mount)) return "v2";
  if (statfsSync(mount).type === cgroup2Magic) return "v2";
  return existsSync(join(mount, "unified/cgroup.controllers")) ? "hybrid" : "v1";
}
