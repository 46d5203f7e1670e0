import { join } from "node:path";
import { isLoopback } from "./address.ts";
import type { ComponentSpec, NodeView } from "./component.ts";
import { renderKubeletConfig } from "./kubelet-config.ts";
import { kubeletNodeLabels } from "./node-labels.ts";
import { whenHealthy } from "./probe.ts";
import { componentService } from "./service.ts";

/**
 * Only what has no field in KubeletConfiguration is a flag; the user's extra arguments stay flags and win over the file.
 * It does not wait for kube-apiserver: it tries again by itself, and a node that starts alone still runs its pods.
 */
function render(node: NodeView) {
  const { paths } = node;
  const addresses = node.addresses.filter((address) => !isLoopback(address));
  const labels = kubeletNodeLabels(node);
  const service = componentService(withoutLabels(node), {
    name: "kubelet",
    description: "Kubernetes node agent",
    after: ["containerd", "kube-apiserver", "k8s-apiserver-proxy"],
    delegates: true,
    kill: "process",
    args: {
      "--cert-dir": join(paths.kubeletRoot, "pki"),
      "--cloud-provider": node.kubelet.cloudProvider,
      "--config": paths.kubeletConfig,
      "--hostname-override": node.name === node.hostname ? undefined : node.name,
      "--kubeconfig": paths.kubeconfig.kubelet,
      "--node-ip": addresses.length === 0 ? undefined : addresses.join(","),
      "--node-labels": labels,
      "--root-dir": paths.kubeletRoot,
    },
  });
  return {
    service,
    files: [{ path: paths.kubeletConfig, content: renderKubeletConfig(node), mode: 0o600 }],
    directories: [
      { path: paths.confD, mode: 0o700 },
      { path: paths.kubeletRoot, mode: 0o700 },
      { path: paths.podLogs, mode: 0o755 },
      { path: paths.containerLogs, mode: 0o755 },
    ],
  };
}

/** The user's labels are already in `--node-labels`, without those that kubelet refuses; the raw wish must not replace them. */
function withoutLabels(node: NodeView): NodeView {
  const { "--node-labels": _labels, ...kubelet } = node.extraArgs.kubelet ?? {};
  return { ...node, extraArgs: { ...node.extraArgs, kubelet } };
}

export const kubelet: ComponentSpec = {
  name: "kubelet",
  wanted: () => true,
  render,
  ready: (node, signal) =>
    whenHealthy(
      node,
      render(node).service,
      { scheme: "http", host: "--healthz-bind-address", port: ["--healthz-port", "10248"] },
      signal,
    ),
  reloads: "restart",
};
