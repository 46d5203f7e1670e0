import { pkiFiles } from "./certificates.ts";
import type { ComponentSpec, NodeView } from "./component.ts";
import { volumePluginDir } from "./kubelet-config.ts";
import { whenHealthy } from "./probe.ts";
import { componentService } from "./service.ts";

/** Ranges of pods are given to nodes by k8sd's ledger, so `--allocate-node-cidrs` stays off: one writer, and no change when a Node object is made anew. */
function render(node: NodeView) {
  const { paths } = node;
  const pki = pkiFiles(paths);
  const service = componentService(node, {
    name: "kube-controller-manager",
    description: "Kubernetes controller manager",
    after: ["kube-apiserver"],
    args: {
      "--authentication-kubeconfig": paths.kubeconfig.controller,
      "--authorization-kubeconfig": paths.kubeconfig.controller,
      "--cloud-provider": node.kubelet.cloudProvider,
      ...signingArguments(node),
      // Where kubelet looks for them too; the default lies below /usr, which is read-only on many hosts.
      "--flex-volume-plugin-dir": volumePluginDir(paths),
      "--kubeconfig": paths.kubeconfig.controller,
      "--leader-elect-lease-duration": "30s",
      "--leader-elect-renew-deadline": "15s",
      "--profiling": "false",
      "--root-ca-file": pki.ca.crt,
      "--service-account-private-key-file": pki.serviceAccountKey,
      "--terminated-pod-gc-threshold": "12500",
      "--tls-min-version": "VersionTLS12",
      "--use-service-account-credentials": "true",
    },
  });
  return { service, files: [], directories: [] };
}

/** Certificates for clients come from the client CA, all others from the cluster CA. */
function signingArguments(node: NodeView): Record<string, string> {
  const extra = node.extraArgs["kube-controller-manager"] ?? {};
  // One pair for all signers and one for each exclude each other; the user's wish counts.
  if (typeof extra["--cluster-signing-cert-file"] === "string") return {};
  const pki = pkiFiles(node.paths);
  const signers = [
    ...(node.signing.clientCa
      ? [
          { name: "kube-apiserver-client", pair: pki.clientCa },
          { name: "kubelet-client", pair: pki.clientCa },
        ]
      : []),
    ...(node.signing.ca
      ? [
          { name: "kubelet-serving", pair: pki.ca },
          { name: "legacy-unknown", pair: pki.ca },
        ]
      : []),
  ];
  return Object.fromEntries(
    signers.flatMap(({ name, pair }) => [
      [`--cluster-signing-${name}-cert-file`, pair.crt],
      [`--cluster-signing-${name}-key-file`, pair.key],
    ]),
  );
}

export const kubeControllerManager: ComponentSpec = {
  name: "kube-controller-manager",
  wanted: (node) => node.role === "control-plane",
  render,
  ready: (node, signal) =>
    whenHealthy(
      node,
      render(node).service,
      { scheme: "https", host: "--bind-address", port: ["--secure-port", "10257"] },
      signal,
    ),
  reloads: "restart",
};
