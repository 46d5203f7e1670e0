import type { NodeView } from "../components/component.ts";
import type { Host } from "../host/host.ts";
import type { Reconciler } from "./loop.ts";

/** Also the mark by which cleaning up finds it. */
export const masqueradeChain = "K8SD-MASQUERADE";
/** Somebody who flushes the firewall takes it away. */
const periodMs = 30_000;

/**
 * Addresses of pods mean nothing outside the cluster: what a pod of this node sends there goes out under the node's
 * address. Between pods of all nodes it stays as it is. The pods of other nodes are their nodes' matter.
 */
export function createMasquerade(view: NodeView, host: Pick<Host, "run">): Reconciler {
  const { podCidrs, nodePodCidrs } = view.network;
  return {
    name: "masquerade",
    reconcile: async (signal) => {
      for (const v6 of [false, true]) {
        const own = nodePodCidrs.filter((cidr) => cidr.includes(":") === v6);
        const [all] = podCidrs.filter((cidr) => cidr.includes(":") === v6);
        if (own.length === 0 || all === undefined) continue;
        const program = v6 ? "ip6tables" : "iptables";
        const nat = (okExitCodes: readonly number[], ...argv: string[]) =>
          host.run([program, "--wait", "10", "--table", "nat", ...argv], { signal, okExitCodes });
        const ensure = async (chain: string, ...rule: string[]): Promise<void> => {
          const { exitCode } = await nat([1], "--check", chain, ...rule);
          if (exitCode !== 0) await nat([], "--append", chain, ...rule);
        };
        await nat([1], "--new-chain", masqueradeChain);
        for (const cidr of own) {
          await ensure(masqueradeChain, "--source", cidr, "!", "--destination", all, "--jump", "MASQUERADE");
        }
        await ensure("POSTROUTING", "--jump", masqueradeChain);
      }
      return periodMs;
    },
  };
}
