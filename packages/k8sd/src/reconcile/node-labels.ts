import type { KnownMember } from "../cluster/roster.ts";
import type { NodeView } from "../components/component.ts";
import { type Labels, wantedNodeLabels } from "../components/node-labels.ts";
import type { KubeClient } from "../kube/kube-client.ts";
import { nodes } from "../kube/resources.ts";
import { isKind } from "../lib/app-error.ts";
import type { Reconciler } from "./loop.ts";

/** A label that somebody removed comes back within this time, and a worker that joined has its own. */
const periodMs = 10_000;
/** While the kubelet has not registered its Node yet. */
const unregisteredMs = 250;
/** While that of a worker has not. */
const joiningMs = 2_000;
/** The rest its kubelet may set. */
const workerLabels: Labels = { "node-role.kubernetes.io/worker": "" };

interface WantedNode {
  readonly name: string;
  readonly labels: Labels;
  readonly podCidrs: readonly string[];
}

/**
 * Keeps on the Nodes what a kubelet may not set on itself: role labels, and the pod range that the ledger gave the node.
 * A control plane does it for itself and for the workers, who have no right to.
 */
export function createNodeLabels(
  view: NodeView,
  deps: { readonly kube: () => Promise<KubeClient>; readonly members: () => readonly KnownMember[] },
): Reconciler {
  /** @returns false while its kubelet has not registered it. */
  async function label(
    { name, labels, podCidrs }: WantedNode,
    kube: KubeClient,
    signal: AbortSignal,
  ): Promise<boolean> {
    const node = await kube.get(nodes, { name }, { signal }).catch((error: unknown) => {
      if (isKind(error, "not-found")) return undefined;
      throw error;
    });
    if (node === undefined) return false;
    const missing = Object.fromEntries(
      Object.entries(labels).filter(([key, value]) => node.metadata?.labels?.[key] !== value),
    );
    const wantsRange = podCidrs.length > 0 && node.spec?.podCIDR === undefined;
    if (Object.keys(missing).length === 0 && !wantsRange) return true;
    const spec = wantsRange ? { spec: { podCIDR: podCidrs[0], podCIDRs: podCidrs } } : {};
    await kube.patch(nodes, { name }, { metadata: { labels: missing }, ...spec }, { signal });
    return true;
  }

  return {
    name: "node-labels",
    reconcile: async (signal) => {
      const kube = await deps.kube();
      const own = { name: view.name, labels: wantedNodeLabels(view), podCidrs: view.network.nodePodCidrs };
      const workers = deps
        .members()
        .filter(({ role, state }) => role === "worker" && state === "active")
        .map(({ name, podCidrs }) => ({ name, labels: workerLabels, podCidrs }));
      const registered = await Promise.all([own, ...workers].map((node) => label(node, kube, signal)));
      if (!registered[0]) return unregisteredMs;
      return registered.every(Boolean) ? periodMs : joiningMs;
    },
  };
}
