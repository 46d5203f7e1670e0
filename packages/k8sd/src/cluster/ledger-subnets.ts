import { validCidrs } from "./config/cidr.ts";
import { nodePrefix } from "./config/subnets.ts";
import type { ClusterConfig } from "./config/types.ts";

/** More nodes than anybody has; a wide IPv6 range has no limit that matters. */
const most = 65_536;

/** How many nodes get a part of the pod range of their own. */
export function podSubnetCount({ network }: Pick<ClusterConfig, "network">): number {
  const rooms = validCidrs(network["pod-cidr"] ?? "").map(
    ({ family, prefix }) => 2 ** Math.max(0, nodePrefix[family] - prefix),
  );
  // With a network of somebody else the parts are that network's matter.
  return network.enabled === false ? most : Math.min(most, ...rooms);
}

/** The smallest number that nobody has; undefined when all below `limit` are taken. */
export function lowestFree(taken: Iterable<number>, limit: number): number | undefined {
  const used = new Set(taken);
  for (let index = 0; index < limit; index += 1) if (!used.has(index)) return index;
  return undefined;
}
