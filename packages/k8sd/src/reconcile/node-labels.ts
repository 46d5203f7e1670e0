import type { NodeView } from "../components/component.ts";
import { wantedNodeLabels } from "../components/node-labels.ts";
import type { KubeClient } from "../kube/kube-client.ts";
import { nodes } from "../kube/resources.ts";
import { AppError } from "../lib/app-error.ts";
import type { Reconciler } from "./loop.ts";

/** A label that somebody removed comes back within this time. */
const periodMs = 30_000;
/** While the kubelet has not registered its Node yet. */
const unregisteredMs = 250;

/**
 * Keeps on the Node what a kubelet may not set on itself: role labels, and the pod range that the ledger gave the node.
 */
export function createNodeLabels(view: NodeView, deps: { readonly kube: () => Promise<KubeClient> }): Reconciler {
  return {
    name: "node-labels",
    reconcile: async (signal) => {
      const kube = await deps.kube();
      const node = await kube.get(nodes, { name: view.name }, { signal }).catch((error: unknown) => {
        if (error instanceof AppError && error.kind === "not-found") return undefined;
        throw error;
      });
      if (node === undefined) return unregisteredMs;
      const labels = Object.fromEntries(
        Object.entries(wantedNodeLabels(view)).filter(([key, value]) => node.metadata?.labels?.[key] !== value),
      );
      const podCIDRs = view.network.nodePodCidrs;
      const wantsRange = podCIDRs.length > 0 && node.spec?.podCIDR === undefined;
      if (Object.keys(labels).length === 0 && !wantsRange) return periodMs;
      const spec = wantsRange ? { spec: { podCIDR: podCIDRs[0], podCIDRs } } : {};
      await kube.patch(nodes, { name: view.name }, { metadata: { labels }, ...spec }, { signal });
      return periodMs;
    },
  };
}
