import { readFileSync, writeFileSync } from "node:fs";

const limits = ["/proc/sys/net/ipv4/neigh/default/gc_thresh3", "/proc/sys/net/ipv6/neigh/default/gc_thresh3"] as const;
/** For the machine itself, and what else runs on it. */
const spare = 512;

/**
 * The kernel has one table of neighbours for all hosts of a machine. It holds 1,024, so that of about thirty hosts that talk
 * to each other not all can. Nothing is taken back: it is an upper bound that is no good to anybody when it is low.
 */
export function makeRoomForNeighbours(hosts: number): void {
  const wanted = hosts * hosts + spare;
  for (const limit of limits) if (Number(readFileSync(limit, "utf8")) < wanted) writeFileSync(limit, String(wanted));
}
