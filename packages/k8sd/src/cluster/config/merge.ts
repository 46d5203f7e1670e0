import { isDeepStrictEqual } from "node:util";
import { AppError } from "../../lib/app-error.ts";
import { type ClusterConfig, clusterConfig } from "./types.ts";
import { validate } from "./validate.ts";

type Section = Exclude<keyof ClusterConfig, "annotations">;
type Leaf = { readonly [S in Section]: `${S}.${keyof ClusterConfig[S] & string}` }[Section];
type Change = { readonly old: ClusterConfig; readonly next: ClusterConfig };

const staysEnabled = (feature: "dns" | "local-storage") => (change: Change) =>
  change.old[feature].enabled === true && (change.next[feature].enabled ?? true);

const always = () => true;

/** What cannot change once it is set: its name in errors, and when that holds. */
const fixed: Partial<Record<Leaf, readonly [name: string, holds: (change: Change) => boolean]>> = {
  "certificates.ca-crt": ["CA certificate", always],
  "certificates.ca-key": ["CA key", always],
  "certificates.client-ca-crt": ["client CA certificate", always],
  "certificates.client-ca-key": ["client CA key", always],
  "certificates.front-proxy-ca-crt": ["front proxy CA certificate", always],
  "certificates.front-proxy-ca-key": ["front proxy CA key", always],
  "certificates.service-account-key": ["service account key", always],
  "certificates.k8sd-public-key": ["k8sd public key", always],
  "certificates.k8sd-private-key": ["k8sd private key", always],
  "datastore.type": ["datastore type", always],
  "datastore.etcd-ca-crt": ["etcd CA certificate", always],
  "datastore.etcd-ca-key": ["etcd CA key", always],
  "network.pod-cidr": ["pod CIDR", always],
  "network.service-cidr": ["service CIDR", always],
  "apiserver.port": ["kube-apiserver secure port", always],
  "datastore.etcd-port": ["etcd client port", always],
  "datastore.etcd-peer-port": ["etcd peer port", always],
  "kubelet.control-plane-taints": ["control-plane register with taints", always],
  "kubelet.cluster-dns": ["kubelet cluster DNS", staysEnabled("dns")],
  "local-storage.local-path": ["local storage path", staysEnabled("local-storage")],
  "local-storage.reclaim-policy": ["local storage reclaim policy", staysEnabled("local-storage")],
};

/** Order in which changes are looked at: the first that is not allowed gives the error. */
const sections = Object.keys(clusterConfig.shape).filter((key): key is Section => key !== "annotations");

/** The stored configuration with a change over it: leaf by leaf, lists as a whole, annotations key by key. */
export function mergeClusterConfig(old: ClusterConfig, next: ClusterConfig): ClusterConfig {
  const merged = Object.fromEntries(sections.map((section) => [section, mergeSection(section, { old, next })]));
  const annotations = mergeAnnotations(old.annotations, next.annotations);
  // Every leaf comes from one of two configurations of this type, at its own place.
  const result = { ...merged, ...(annotations === undefined ? {} : { annotations }) } as ClusterConfig;
  validate(result, {}, "updated cluster configuration is not valid: ");
  return result;
}

function mergeSection(section: Section, change: Change): Record<string, unknown> {
  const old: Record<string, unknown> = change.old[section];
  const merged = { ...old };
  for (const [key, value] of Object.entries(change.next[section])) {
    if (value === undefined || isDeepStrictEqual(value, old[key])) continue;
    const rule = fixed[`${section}.${key}` as Leaf];
    if (old[key] !== undefined && rule?.[1](change))
      throw cannotChange(rule[0], `${section}.${key}`, Array.isArray(value));
    merged[key] = value;
  }
  return merged;
}

/** The value "-" takes an annotation away, also one that is not there. */
function mergeAnnotations(
  old: Readonly<Record<string, string>> | undefined,
  next: Readonly<Record<string, string>> | undefined,
): Record<string, string> | undefined {
  if (old === undefined && next === undefined) return undefined;
  return Object.fromEntries(
    Object.entries({ ...old, ...next }).filter(([key, value]) => !(value === "-" && next?.[key] === "-")),
  );
}

const userKeys: Readonly<Record<string, string>> = {
  "kubelet.cluster-dns": "dns.service-ip",
  "network.pod-cidr": "pod-cidr",
  "network.service-cidr": "service-cidr",
  "apiserver.port": "secure-port",
  "datastore.etcd-port": "etcd-port",
  "datastore.etcd-peer-port": "etcd-peer-port",
  "datastore.type": "datastore.type",
};

const remedies: Readonly<Record<string, string>> = {
  "kubelet.cluster-dns": "Disable dns in the same or an earlier change.",
  "local-storage.local-path": "Disable local-storage first.",
  "local-storage.reclaim-policy": "Disable local-storage first.",
};

function cannotChange(name: string, leaf: string, isList: boolean): AppError {
  const reason = isList ? "value has changed" : "value cannot change";
  return new AppError("invalid", `prevented update of ${name}: ${reason}`, {
    field: userKeys[leaf] ?? leaf,
    remedy: remedies[leaf] ?? "It is decided when the cluster is bootstrapped.",
  });
}
