import { join } from "node:path";
import { stringify } from "yaml";
import type { Paths } from "../host/paths.ts";
import { AppError } from "../lib/app-error.ts";
import { cipherSuites, pkiFiles } from "./certificates.ts";
import type { NodeView } from "./component.ts";

/** Flags of kubelet whose default of ours lies in the file: a user's null takes it out of there. A value stays a flag, which wins over the file. */
const fieldOfFlag: Readonly<Record<string, string>> = {
  "--anonymous-auth": "authentication.anonymous",
  "--authentication-token-webhook": "authentication.webhook",
  "--authorization-mode": "authorization",
  "--cgroup-driver": "cgroupDriver",
  "--client-ca-file": "authentication.x509",
  "--cluster-dns": "clusterDNS",
  "--cluster-domain": "clusterDomain",
  "--eviction-hard": "evictionHard",
  "--fail-cgroupv1": "failCgroupV1",
  "--fail-swap-on": "failSwapOn",
  "--read-only-port": "readOnlyPort",
  "--register-with-taints": "registerWithTaints",
  "--resolv-conf": "resolvConf",
  "--serialize-image-pulls": "serializeImagePulls",
  "--tls-cert-file": "tlsCertFile",
  "--tls-cipher-suites": "tlsCipherSuites",
  "--tls-private-key-file": "tlsPrivateKeyFile",
  "--volume-plugin-dir": "volumePluginDir",
};

/** The KubeletConfiguration of a node, as YAML with keys in the order below. */
export function renderKubeletConfig(node: NodeView): string {
  const { paths, kubelet, machine } = node;
  const pki = pkiFiles(paths);
  const fields: Record<string, unknown> = {
    "authentication.anonymous": { enabled: false },
    "authentication.webhook": { enabled: true },
    "authentication.x509": { clientCAFile: pki.clientCa.crt },
    authorization: { mode: "Webhook" },
    cgroupDriver: machine.systemd ? "systemd" : "cgroupfs",
    clusterDNS: kubelet.clusterDns === undefined || kubelet.clusterDns === "" ? undefined : [kubelet.clusterDns],
    clusterDomain: kubelet.clusterDomain === "" ? undefined : kubelet.clusterDomain,
    containerRuntimeEndpoint: `unix://${paths.containerd.socket}`,
    evictionHard: { "memory.available": "100Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi" },
    // Kubernetes 1.35 began to refuse cgroup v1; hosts that have nothing else still run.
    failCgroupV1: node.cgroups === "v2" ? undefined : false,
    failSwapOn: false,
    healthzBindAddress: node.loopback,
    healthzPort: 10248,
    podLogsDir: paths.podLogs,
    readOnlyPort: 0,
    registerWithTaints: kubelet.taints.length === 0 ? undefined : kubelet.taints.map(parseTaint),
    resolvConf: machine.resolvConf,
    serializeImagePulls: false,
    tlsCertFile: pki.kubelet.crt,
    tlsCipherSuites: [...cipherSuites],
    tlsPrivateKeyFile: pki.kubelet.key,
    volumePluginDir: volumePluginDir(paths),
  };
  for (const [flag, value] of Object.entries(node.extraArgs.kubelet ?? {})) {
    const field = fieldOfFlag[flag];
    if (value === null && field !== undefined) delete fields[field];
  }
  return stringify({ apiVersion: "kubelet.config.k8s.io/v1beta1", kind: "KubeletConfiguration", ...nest(fields) });
}

export function volumePluginDir(paths: Pick<Paths, "kubeletRoot">): string {
  return join(paths.kubeletRoot, "volume-plugins");
}

/** `{"a.b": 1}` → `{a: {b: 1}}`; undefined values are left out. */
function nest(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [path, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const [first = "", second] = path.split(".");
    result[first] = second === undefined ? value : { ...(result[first] as object | undefined), [second]: value };
  }
  return result;
}

/** `key=value:Effect` or `key:Effect`. */
export function parseTaint(text: string): { key: string; value?: string; effect: string } {
  const match = /^([^=:\s]+)(?:=([^=:\s]*))?:(NoSchedule|PreferNoSchedule|NoExecute)$/.exec(text.trim());
  if (match?.[1] === undefined || match[3] === undefined) {
    throw new AppError("invalid", `cannot taint the node with ${JSON.stringify(text)}: not a taint`, {
      field: "control-plane-taints",
      remedy: "Write key=value:Effect or key:Effect, with NoSchedule, PreferNoSchedule or NoExecute as effect.",
    });
  }
  return { key: match[1], ...(match[2] === undefined || match[2] === "" ? {} : { value: match[2] }), effect: match[3] };
}
