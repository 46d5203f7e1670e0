import type { MeshStatus } from "@k8sd/api-types";
import type { Host } from "./hosts/types.ts";
import { callDaemon } from "./node.ts";

/** What `k8s mesh` shows on the host. */
export async function meshOf(host: Host): Promise<MeshStatus> {
  const { metadata, error } = await callDaemon(host, "GET", "/1.0/k8sd/mesh");
  if (metadata === undefined || metadata === null) throw new Error(`cannot see the mesh of ${host.name}: ${error}`);
  return metadata as MeshStatus;
}

/** Name and state of each peer. */
export async function peersOf(host: Host): Promise<Record<string, string>> {
  const { peers } = await meshOf(host);
  return Object.fromEntries(peers.map(({ name, state }) => [name, state]));
}
