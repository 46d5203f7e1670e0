import type { ClusterStatus, LocalNodeStatus, NodeStatus } from "@k8sd/api-types";
import type { ServiceManager } from "../host/services.ts";
import type { NodeIdentity } from "../node-db/identity.ts";
import type { BootstrapInput } from "./bootstrap/plan.ts";
import { observeConditions } from "./conditions.ts";
import { toUserFacing } from "./config/user-facing.ts";
import type { Connections } from "./connections.ts";
import { featureStatuses } from "./features.ts";
import type { Roster } from "./roster.ts";

type Member = NodeIdentity<BootstrapInput>;

export interface StatusDeps {
  readonly host: { readonly services: Pick<ServiceManager, "statuses"> };
  /** The committed member that this node is; throws before there is one. */
  readonly member: () => Member;
  readonly connections: () => Connections;
  readonly roster: Pick<Roster, "members">;
  readonly now: () => number;
}

/** What the node says of itself and of its cluster. */
export function createStatus({ host, member, connections, roster, now }: StatusDeps) {
  /** The control planes, as far as they are known; before the first look that is this node alone. */
  function memberStatuses(self: Member): NodeStatus[] {
    const own = memberStatus(self);
    const others = roster
      .members()
      .filter(({ id, role, state }) => id !== self.id && role === "control-plane" && state === "active")
      .map(({ name, k8sdAddress }) => ({ ...own, name, address: k8sdAddress }));
    return [own, ...others].sort((a, b) => ((a.name ?? "") < (b.name ?? "") ? -1 : 1));
  }

  return {
    async clusterStatus(signal: AbortSignal): Promise<ClusterStatus> {
      const self = member();
      const input = self.view;
      const conditions = await observeConditions(
        input,
        {
          services: host.services,
          datastore: await connections().datastore(),
          kube: input.kubernetes ? await connections().kube() : undefined,
          now,
        },
        signal,
      );
      const { datastore } = input.view;
      return {
        ...(conditions.every((condition) => condition.ok) ? { ready: true as const } : {}),
        members: memberStatuses(self),
        config: toUserFacing(input.config),
        datastore: {
          type: datastore.engine,
          ...(datastore.engine === "external" ? { servers: [...datastore.endpoints] } : {}),
        },
        ...featureStatuses(input.config, new Date(now()).toISOString()),
        conditions: [...conditions],
      };
    },

    async localNode(_signal: AbortSignal): Promise<LocalNodeStatus> {
      const self = member();
      const { taints } = self.view.view.kubelet;
      // No taint is one empty string: what splitting kubelet's empty flag always gave.
      return { status: memberStatus(self), taints: taints.length === 0 ? [""] : [...taints] };
    },
  };
}

function memberStatus({ view: { view } }: Member): NodeStatus {
  return {
    name: view.name,
    address: view.role === "worker" ? (view.addresses[0] ?? "") : view.k8sdAddress,
    "cluster-role": view.role,
    // The embedded datastore has one voter, and an external one is nobody's member.
    ...(view.datastore.engine === "external" ? {} : { "datastore-role": "voter" as const }),
  };
}
