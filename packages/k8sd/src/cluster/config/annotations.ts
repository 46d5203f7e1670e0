import type { ClusterConfig } from "./types.ts";

export const annotation = {
  skipNodeCleanupOnRemove: "k8sd/v1alpha/lifecycle/skip-cleanup-kubernetes-node-on-remove",
  skipStopServicesOnRemove: "k8sd/v1alpha/lifecycle/skip-stop-services-on-remove",
  disableSeparateFeatureUpgrades: "k8sd/v1alpha/lifecycle/disable-separate-feature-upgrades",
  removeDeadNodesAfter: "k8sd/v1alpha/lifecycle/remove-dead-nodes-after",
  bgpPeers: "k8sd/v1alpha1/metallb/bgp-peers",
} as const;

const no = ["false", "False", "FALSE", "f", "F", "0", "no", "off"];

/** An annotation that is there switches on, unless it says no: its documented values are "true" and "false". */
export function annotationFlag(config: Pick<ClusterConfig, "annotations">, key: string): boolean {
  const value = config.annotations?.[key];
  return value !== undefined && !no.includes(value);
}
