import type { ClusterStatus, FeatureStatus, LocalNodeStatus } from "@k8sd/api-types";

const enabled: FeatureStatus = {
  enabled: true,
  message: "enabled",
  version: "1",
  "updated-at": "2026-08-21T10:00:00Z",
};

export const localNode: LocalNodeStatus = {
  status: { name: "node-a", address: "10.0.0.1:6400", "cluster-role": "control-plane", "datastore-role": "voter" },
};

export const readyCluster: ClusterStatus = {
  ready: true,
  members: [localNode.status],
  config: {},
  datastore: { type: "sqlite" },
  dns: enabled,
  network: enabled,
  "load-balancer": enabled,
  ingress: enabled,
  gateway: enabled,
  "metrics-server": enabled,
  "local-storage": enabled,
};

export function notReady(message: string): ClusterStatus {
  const { ready: _ready, ...rest } = readyCluster;
  const at = "2026-08-21T10:00:00Z";
  return { ...rest, conditions: [{ name: "node", ok: false, reason: "NotReady", message, "observed-at": at }] };
}

export const readyText = `cluster status:           ready
control plane nodes:      10.0.0.1:6400 (voter)
high availability:        no
datastore:                sqlite
network:                  enabled
dns:                      enabled
ingress:                  enabled
load-balancer:            enabled
local-storage:            enabled
gateway                   enabled
`;
