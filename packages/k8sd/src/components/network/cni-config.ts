import { isIPv6 } from "node:net";
import { join } from "node:path";
import type { WantedFile } from "../../lib/write-file.ts";
import type { NodeView } from "../component.ts";

/** Interface that joins the pods of the node. */
export const bridgeName = "cni0";

/** File of the built-in network; sorted before those of other networks a user may leave behind. */
export function cniConfigPath(node: NodeView): string {
  return join(node.paths.cniConf, "10-k8sd.conflist");
}

/**
 * The built-in network of one node: a bridge, addresses out of the node's part of the pod range, host ports.
 * Undefined while the node has no range, or when another network is in charge: then the file must not be there.
 */
export function renderCniConfig(node: NodeView): WantedFile | undefined {
  const { nodePodCidrs } = node.network;
  if (nodePodCidrs.length === 0) return undefined;
  const config = {
    cniVersion: "1.0.0",
    name: "k8sd",
    plugins: [
      {
        type: "bridge",
        bridge: bridgeName,
        isGateway: true,
        // A pod may reach itself through its Service.
        hairpinMode: true,
        // The plugin would do it towards pods of other nodes too; reconcile/masquerade.ts leaves those out.
        ipMasq: false,
        ipam: {
          type: "host-local",
          dataDir: join(node.paths.cniState, "networks"),
          ranges: nodePodCidrs.map((subnet) => [{ subnet }]),
          routes: nodePodCidrs.map((cidr) => ({ dst: isIPv6(cidr.split("/")[0] ?? "") ? "::/0" : "0.0.0.0/0" })),
        },
      },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
    ],
  };
  return { path: cniConfigPath(node), content: `${JSON.stringify(config, undefined, 2)}\n`, mode: 0o600 };
}
