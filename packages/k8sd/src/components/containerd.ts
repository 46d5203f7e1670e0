import { AppError } from "../lib/app-error.ts";
import { poll } from "../lib/wait.ts";
import type { ComponentSpec, NodeView } from "./component.ts";
import { renderContainerdConfig } from "./containerd-config.ts";
import { GrpcRefusal, grpcCall } from "./grpc-probe.ts";
import { readyMs } from "./probe.ts";
import { componentService } from "./service.ts";

/** gRPC's status for a service that the server does not have. */
const unimplemented = 12;

function render(node: NodeView) {
  const { containerd, cniConf, cniBin, cniState } = node.paths;
  const service = componentService(node, {
    name: "containerd",
    description: "Container runtime",
    notifies: true,
    delegates: true,
    // Containers outlive a restart or refresh of it.
    kill: "process",
    args: {
      "--address": containerd.socket,
      "--config": containerd.config,
      "--root": containerd.rootDir,
      "--state": containerd.stateDir,
    },
  });
  return {
    service,
    files: [{ path: containerd.config, content: renderContainerdConfig(node), mode: 0o600 }],
    directories: [
      { path: containerd.configDir, mode: 0o700 },
      { path: containerd.confD, mode: 0o700 },
      { path: containerd.hostsD, mode: 0o700 },
      // Other networks put their files here too.
      { path: cniConf, mode: 0o755 },
      { path: cniBin, mode: 0o755 },
      // What the program itself would make, so that it is known to be the node's.
      { path: containerd.rootDir, mode: 0o711 },
      { path: containerd.stateDir, mode: 0o711 },
      { path: containerd.optDir, mode: 0o711 },
      { path: containerd.nriDir, mode: 0o755 },
      { path: cniState, mode: 0o755 },
    ],
  };
}

export const containerd: ComponentSpec = {
  name: "containerd",
  wanted: () => true,
  render,
  async ready(node, signal) {
    const { socket, config } = node.paths.containerd;
    await poll(
      async (abort) => {
        try {
          return await grpcCall({ target: { socket }, method: "/runtime.v1.RuntimeService/Version", signal: abort });
        } catch (error) {
          if (!(error instanceof GrpcRefusal) || error.code !== unimplemented) throw error;
          // Its plugins are all loaded when the socket opens: waiting longer brings nothing.
          throw new AppError("unavailable", "cannot use containerd: it runs without its runtime interface", {
            retryable: false,
            remedy: `Look at the log of containerd and at extra-node-containerd-config in ${config}.`,
            cause: error,
          });
        }
      },
      { what: "see containerd ready", deadlineMs: readyMs, signal, remedy: "Look at the log of containerd." },
    );
  },
  reloads: "by itself",
};
