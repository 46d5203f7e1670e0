import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "node:tls";
import type { Paths } from "../host/paths.ts";
import { poll, withDeadline } from "../lib/wait.ts";
import { reachedAt, splitHostPort } from "./address.ts";
import { pkiFiles } from "./certificates.ts";
import type { ComponentSpec, NodeView } from "./component.ts";
import { readyMs } from "./probe.ts";
import { componentService, effectiveArgument } from "./service.ts";

/** Where the proxy finds the API servers; `writeEndpoints` of apiserver-proxy/endpoints-file.ts writes it. */
export function apiserverProxyEndpoints(paths: Paths): string {
  return join(paths.confD, "k8s-apiserver-proxy.json");
}

function render(node: NodeView) {
  const service = componentService(node, {
    name: "k8s-apiserver-proxy",
    description: "Way of this node's programs to the API servers",
    args: {
      "--endpoints": apiserverProxyEndpoints(node.paths),
      "--kubeconfig": node.paths.kubeconfig.kubelet,
      "--listen": `:${node.securePort}`,
    },
  });
  return { service, files: [], directories: [{ path: node.paths.confD, mode: 0o700 }] };
}

/** A handshake goes all the way to an API server and back; one that starts at that moment takes a while for its first. */
const handshakeMs = 5_000;

/** Resolves when the other side shows a certificate of the cluster: no right on the API server is needed to see it. */
async function handshake(host: string, port: number, ca: Buffer, signal: AbortSignal): Promise<true> {
  const { promise, resolve, reject } = Promise.withResolvers<true>();
  const deadline = withDeadline(signal, handshakeMs);
  const socket = connect({ host, port, ca });
  const abort = () => reject(new Error(`no certificate within ${handshakeMs / 1000} s`));
  deadline.addEventListener("abort", abort, { once: true });
  socket.on("error", reject);
  socket.once("close", () => reject(new Error("the connection ended: no API server could be reached")));
  socket.once("secureConnect", () => resolve(true));
  try {
    return await promise;
  } finally {
    deadline.removeEventListener("abort", abort);
    socket.destroy();
  }
}

export const k8sApiserverProxy: ComponentSpec = {
  name: "k8s-apiserver-proxy",
  wanted: (node) => node.role === "worker",
  render,
  async ready(node, signal) {
    const listen = effectiveArgument(render(node).service, "--listen", ":6443");
    const { host, port } = splitHostPort(listen) ?? { host: "", port: node.securePort };
    const target = reachedAt(host, node.loopback);
    await poll(async (abort) => handshake(target, port, await readFile(pkiFiles(node.paths).ca.crt), abort), {
      what: "reach an API server through k8s-apiserver-proxy",
      deadlineMs: readyMs,
      signal,
      remedy:
        "Check that a control plane is up and reachable from this node, then look at the log of k8s-apiserver-proxy.",
    });
  },
  reloads: "by itself",
};
