import { poll } from "../lib/wait.ts";
import { hostPort, reachedAt, splitHostPort } from "./address.ts";
import type { ComponentSpec, NodeView } from "./component.ts";
import { healthy, readyMs } from "./probe.ts";
import { componentService, effectiveArgument } from "./service.ts";

function render(node: NodeView) {
  const service = componentService(node, {
    name: "kube-proxy",
    description: "Kubernetes service proxy",
    after: ["kube-apiserver", "k8s-apiserver-proxy"],
    args: {
      "--cluster-cidr": node.network.podCidrs.join(","),
      "--healthz-bind-address": hostPort(node.loopback, 10256),
      "--hostname-override": node.name === node.hostname ? undefined : node.name,
      "--kubeconfig": node.paths.kubeconfig.proxy,
      "--metrics-bind-address": hostPort(node.loopback, 10249),
      "--profiling": "false",
      ...(node.machine.conntrackWritable ? {} : leaveConntrackAlone),
    },
  });
  return { service, files: [], directories: [] };
}

/** 0 means "as it is"; any other value is written to a sysctl at start, and a failed write ends the program. */
const leaveConntrackAlone = {
  "--conntrack-max-per-core": "0",
  "--conntrack-tcp-timeout-close-wait": "0s",
  "--conntrack-tcp-timeout-established": "0s",
};

export const kubeProxy: ComponentSpec = {
  name: "kube-proxy",
  wanted: (node) => node.network.kubeProxyEnabled,
  render,
  async ready(node, signal) {
    const own = hostPort(node.loopback, 10256);
    const address = effectiveArgument(render(node).service, "--healthz-bind-address", own);
    const { host, port } = splitHostPort(address) ?? { host: address, port: 10256 };
    const target = reachedAt(host, node.loopback);
    // It answers 200 once its rules are written, 503 before.
    await poll((abort) => healthy({ url: `http://${hostPort(target, port)}/healthz`, signal: abort }), {
      what: "see kube-proxy ready",
      deadlineMs: readyMs,
      signal,
      remedy: "Look at the log of kube-proxy.",
    });
  },
  reloads: "restart",
};
