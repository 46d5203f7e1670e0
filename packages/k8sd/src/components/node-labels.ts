import { AppError } from "../lib/app-error.ts";
import type { NodeView } from "./component.ts";

export type Labels = Readonly<Record<string, string>>;

const roleLabels = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/worker"];

/** Labels in Kubernetes' own namespaces that a kubelet may give its own node (k8s.io/kubelet/pkg/apis, and NodeRestriction). */
const kubeletMaySet = new Set([
  "kubernetes.io/hostname",
  "kubernetes.io/os",
  "kubernetes.io/arch",
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
  "failure-domain.beta.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region",
  "node.kubernetes.io/instance-type",
  "beta.kubernetes.io/instance-type",
  "beta.kubernetes.io/os",
  "beta.kubernetes.io/arch",
]);

/** Every label the Node object shall have by k8sd's doing. Those the kubelet may not set itself are set through the API. */
export function wantedNodeLabels(node: NodeView): Labels {
  const given = node.extraArgs.kubelet?.["--node-labels"];
  if (given === null) return {};
  const labels = given === undefined ? defaultLabels(node) : parseLabels(given);
  for (const key of Object.keys(labels)) {
    if (mayKubeletSet(key) || roleLabels.includes(key)) continue;
    throw new AppError(
      "invalid",
      `cannot label the node with ${key}: Kubernetes reserves it and kubelet would not start`,
      {
        field: "extra-node-kubelet-args",
        remedy:
          "Use a label outside kubernetes.io and k8s.io, or one below node.kubernetes.io or kubelet.kubernetes.io.",
      },
    );
  }
  return labels;
}

/** Only Nodes of ours bear it; under another value too, because a kubelet may change it on its own Node. */
const markLabel = "k8sd.io/role";

export function isOurs(labels: Labels): boolean {
  return labels[markLabel] !== undefined;
}

/** The part of the wanted labels that goes on kubelet's command line; undefined when nothing is left. */
export function kubeletNodeLabels(node: NodeView): string | undefined {
  const own = Object.entries(wantedNodeLabels(node)).filter(([key]) => mayKubeletSet(key));
  return own.length === 0 ? undefined : own.map(([key, value]) => `${key}=${value}`).join(",");
}

function defaultLabels(node: NodeView): Labels {
  return {
    ...(node.role === "control-plane" ? { "node-role.kubernetes.io/control-plane": "" } : {}),
    "node-role.kubernetes.io/worker": "",
    [markLabel]: node.role,
  };
}

function parseLabels(text: string): Labels {
  const parts = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  return Object.fromEntries(
    parts.map((part): [string, string] => {
      const at = part.indexOf("=");
      return at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
    }),
  );
}

function mayKubeletSet(key: string): boolean {
  const slash = key.indexOf("/");
  const namespace = slash < 0 ? "" : key.slice(0, slash);
  const below = (...domains: readonly string[]) =>
    domains.some((domain) => namespace === domain || namespace.endsWith(`.${domain}`));
  return (
    !below("kubernetes.io", "k8s.io") || kubeletMaySet.has(key) || below("node.kubernetes.io", "kubelet.kubernetes.io")
  );
}
