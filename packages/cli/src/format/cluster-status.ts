import type { ClusterStatus, Condition, FeatureStatus, NodeStatus } from "@k8sd/api-types";
import { nodeStatusFields } from "./node-status.ts";
import type { Output } from "./output.ts";
import { table } from "./table.ts";
import { PlainScalar, type YamlValue } from "./yaml.ts";

const zeroTime = "0001-01-01T00:00:00Z";

export function clusterStatusOutput(status: ClusterStatus): Output {
  return { plain: () => plain(status), json: () => json(status), yaml: () => yaml(status) };
}

function plain(status: ClusterStatus): string {
  const members = status.members ?? [];
  const voters = members.filter((member) => member["datastore-role"] === "voter").length;
  const rows = [
    ["cluster status:", status.ready ? "ready" : "not ready"],
    ["control plane nodes:", members.length === 0 ? "none" : members.map(memberText).join(", ")],
    ["high availability:", voters > 2 ? "yes" : "no"],
    ["datastore:", status.datastore.type || "disabled"],
    ["network:", featureText(status.network)],
    ["dns:", featureText(status.dns)],
    ["ingress:", featureText(status.ingress)],
    ["load-balancer:", featureText(status["load-balancer"])],
    ["local-storage:", featureText(status["local-storage"])],
    // Without a colon: programs match it so.
    ["gateway", featureText(status.gateway)],
  ] as const;
  return [
    ...rows.map(([label, value]) => `${label.padEnd(25)} ${value}`),
    ...reasons(status),
    ...nodeTable(status),
    ...silent(status.nodes ?? []),
  ].join("\n");
}

/** Why the cluster is not ready, when the daemon says so. */
function reasons(status: ClusterStatus): string[] {
  const missing = (status.conditions ?? []).filter((condition) => !condition.ok);
  if (status.ready || missing.length === 0) return [];
  return ["", "not ready because:", ...missing.map(({ name, reason, message }) => `  ${name}: ${message || reason}`)];
}

type Nodes = NonNullable<ClusterStatus["nodes"]>;

/** Who is in, and how this node finds them; of one that is alone there is nothing to say. */
function nodeTable({ nodes = [], "heard-at": heardAt }: ClusterStatus): string[] {
  if (nodes.length < 2) return [];
  const rows = nodes.map(({ name, role, address, state, liveness, "last-contact": at }) => [
    name,
    role,
    address,
    state === "active" ? (liveness ?? "active") : state,
    at === undefined ? "" : timeText(at),
  ]);
  const lines = table([["NAME", "ROLE", "ADDRESS", "STATE", "LAST CONTACT"], ...rows]).split("\n");
  const heard = heardAt === undefined ? [] : [`as it was told at ${timeText(heardAt)}`];
  return ["", ...lines, ...heard];
}

/** Who is not there, when anybody is. */
function silent(nodes: Nodes): string[] {
  const away = nodes.filter(({ liveness }) => liveness === "dead");
  if (away.length === 0) return [];
  const lines = away.map(({ name, address, "last-contact": at }) => `  ${name} (${address}): ${contactText(at)}`);
  return ["", "do not answer ('k8s mesh' says why):", ...lines];
}

function contactText(at: string | undefined): string {
  return at === undefined ? "no contact since the start" : `last contact ${timeText(at)}`;
}

function timeText(at: string): string {
  return at.replace(/\.\d+Z$/, "Z");
}

function memberText(member: NodeStatus): string {
  return `${member.address ?? ""} (${member["datastore-role"] ?? ""})`;
}

function featureText(feature: FeatureStatus): string {
  return feature.message || (feature.enabled ? "enabled" : "disabled");
}

function json(status: ClusterStatus): unknown {
  return {
    ...(status.ready ? { ready: true } : {}),
    ...(status.members?.length ? { members: status.members.map(nodeStatusFields) } : {}),
    // The configuration may hold what is not for everyone's eyes; `k8s get` shows it.
    config: {
      network: { "kube-proxy-enabled": null },
      dns: {},
      ingress: {},
      "load-balancer": {},
      "local-storage": {},
      gateway: {},
      "metrics-server": {},
    },
    datastore: datastoreFields(status),
    dns: featureFields(status.dns),
    network: featureFields(status.network),
    "load-balancer": featureFields(status["load-balancer"]),
    ingress: featureFields(status.ingress),
    gateway: featureFields(status.gateway),
    "metrics-server": featureFields(status["metrics-server"]),
    "local-storage": featureFields(status["local-storage"]),
    ...(status.nodes === undefined ? {} : { nodes: status.nodes }),
    ...(status["heard-at"] === undefined ? {} : { "heard-at": status["heard-at"] }),
    ...(status.conditions === undefined ? {} : { conditions: status.conditions }),
  };
}

function yaml(status: ClusterStatus): YamlValue {
  return {
    ready: status.ready ?? false,
    members: (status.members ?? []).map(nodeStatusFields),
    config: {},
    datastore: datastoreFields(status),
    dns: yamlFeature(status.dns),
    network: yamlFeature(status.network),
    "load-balancer": yamlFeature(status["load-balancer"]),
    ingress: yamlFeature(status.ingress),
    gateway: yamlFeature(status.gateway),
    "metrics-server": yamlFeature(status["metrics-server"]),
    "local-storage": yamlFeature(status["local-storage"]),
    ...(status.nodes === undefined ? {} : { nodes: status.nodes.map(yamlNode) }),
    ...(status["heard-at"] === undefined ? {} : { "heard-at": new PlainScalar(status["heard-at"]) }),
    ...(status.conditions === undefined ? {} : { conditions: status.conditions.map(yamlCondition) }),
  };
}

function yamlNode({ "last-contact": at, ...node }: NonNullable<ClusterStatus["nodes"]>[number]): YamlValue {
  return { ...node, ...(at === undefined ? {} : { "last-contact": new PlainScalar(at) }) };
}

function yamlCondition(condition: Condition): YamlValue {
  return { ...condition, "observed-at": new PlainScalar(condition["observed-at"]) };
}

function datastoreFields(status: ClusterStatus): { type?: string; servers?: string[] } {
  const { type, servers } = status.datastore;
  return { ...(type ? { type } : {}), ...(servers?.length ? { servers } : {}) };
}

function featureFields(feature: FeatureStatus): FeatureStatus {
  const { enabled, message, version } = feature;
  return { enabled, message, version, "updated-at": feature["updated-at"] };
}

/** A feature that nobody has looked at yet is left out. */
function yamlFeature(feature: FeatureStatus): YamlValue | undefined {
  const { enabled, message, version, "updated-at": time } = feature;
  if (!enabled && message === "" && version === "" && time === zeroTime) return undefined;
  return { enabled, message, version, "updated-at": new PlainScalar(time) };
}
