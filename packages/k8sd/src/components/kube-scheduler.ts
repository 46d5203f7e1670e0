import type { ComponentSpec, NodeView } from "./component.ts";
import { whenHealthy } from "./probe.ts";
import { componentService } from "./service.ts";

function render(node: NodeView) {
  const kubeconfig = node.paths.kubeconfig.scheduler;
  const service = componentService(node, {
    name: "kube-scheduler",
    description: "Kubernetes scheduler",
    after: ["kube-apiserver"],
    args: {
      "--authentication-kubeconfig": kubeconfig,
      "--authorization-kubeconfig": kubeconfig,
      "--kubeconfig": kubeconfig,
      "--leader-elect-lease-duration": "30s",
      "--leader-elect-renew-deadline": "15s",
      "--profiling": "false",
      "--tls-min-version": "VersionTLS12",
    },
  });
  return { service, files: [], directories: [] };
}

export const kubeScheduler: ComponentSpec = {
  name: "kube-scheduler",
  wanted: (node) => node.role === "control-plane",
  render,
  ready: (node, signal) =>
    whenHealthy(
      node,
      render(node).service,
      { scheme: "https", host: "--bind-address", port: ["--secure-port", "10259"] },
      signal,
    ),
  reloads: "restart",
};
