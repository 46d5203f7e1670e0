import type { ClusterStatus, LocalNodeStatus, NodeStatus } from "@k8sd/api-types";
import type { DatastoreView } from "../components/component.ts";
import type { ServiceManager } from "../host/services.ts";
import type { Liveness } from "../mesh/member-table.ts";
import type { NodeIdentity } from "../node-db/identity.ts";
import type { BootstrapInput } from "./bootstrap/plan.ts";
import { observeConditions } from "./conditions.ts";
import { toUserFacing } from "./config/user-facing.ts";
import type { Connections } from "./connections.ts";
import { engineName } from "./engine-name.ts";
import { featureStatuses } from "./features.ts";
import type { Notice, Notices } from "./notices.ts";
import type { Roster } from "./roster.ts";

type Member = NodeIdentity<BootstrapInput>;
type NodeOfCluster = NonNullable<ClusterStatus["nodes"]>[number];

export interface StatusDeps {
  readonly host: { readonly services: Pick<ServiceManager, "statuses"> };
  /** The committed member that this node is; throws before there is one. */
  readonly member: () => Member;
  readonly connections: () => Connections;
  readonly roster: Pick<Roster, "members" | "heardAt">;
  readonly liveness: () => ReadonlyMap<string, Liveness> | undefined;
  readonly notices: Pick<Notices, "all">;
  /** A move of the cluster's data that is under way here. */
  readonly moving: () => Notice | undefined;
  readonly now: () => number;
}

/** What the node says of itself and of its cluster. */
export function createStatus(deps: StatusDeps) {
  const { host, member, connections, roster, liveness, notices, now } = deps;
  /** The control planes, as far as they are known; before the first look that is this node alone. */
  function memberStatuses(self: Member): NodeStatus[] {
    const own = memberStatus(self);
    const others = roster
      .members()
      .filter(({ id, role, state }) => id !== self.id && role === "control-plane" && state === "active")
      .map(
        ({ name, k8sdAddress }): NodeStatus => ({
          name,
          address: k8sdAddress,
          "cluster-role": "control-plane",
          ...voter(engineName(self.view)),
        }),
      );
    const all = own["cluster-role"] === "worker" ? others : [own, ...others];
    return all.sort((a, b) => ((a.name ?? "") < (b.name ?? "") ? -1 : 1));
  }

  function nodeStatuses(): NodeOfCluster[] {
    const seen = liveness();
    const known = roster.members().flatMap(({ id, name, role, state, k8sdAddress, addresses: [address = ""] }) => {
      if (state === "removed") return [];
      return [{ name, role, state, address: role === "worker" ? address : k8sdAddress, ...lifeOf(seen?.get(id)) }];
    });
    return known.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  return {
    async clusterStatus(signal: AbortSignal): Promise<ClusterStatus> {
      const self = member();
      const input = self.view;
      const isWorker = input.view.role === "worker";
      const observed = await observeConditions(
        input,
        {
          services: host.services,
          datastore: isWorker ? undefined : async () => connections().datastore(),
          kube: input.kubernetes && !isWorker ? async () => connections().kube() : undefined,
          moving: deps.moving,
          heardAt: roster.heardAt,
          now,
        },
        signal,
      );
      const at = new Date(now()).toISOString();
      const noted = notices.all().map((notice) => ({ ...notice, ok: false, "observed-at": at }));
      const conditions = [...observed, ...noted];
      const { datastore } = input.view;
      const heardAt = isWorker ? roster.heardAt() : undefined;
      return {
        ...(conditions.every((condition) => condition.ok) ? { ready: true as const } : {}),
        members: memberStatuses(self),
        config: toUserFacing(input.config),
        datastore: {
          type: engineName(self.view),
          ...(isWorker ? {} : externalServers(datastore)),
        },
        ...featureStatuses(input.config, new Date(now()).toISOString()),
        nodes: nodeStatuses(),
        ...(heardAt === undefined ? {} : { "heard-at": new Date(heardAt).toISOString() }),
        conditions,
      };
    },

    async localNode(): Promise<LocalNodeStatus> {
      const self = member();
      const { taints } = self.view.view.kubelet;
      // No taint is one empty string: what splitting kubelet's empty flag always gave.
      return { status: memberStatus(self), taints: taints.length === 0 ? [""] : [...taints] };
    },
  };
}

function memberStatus(self: Member): NodeStatus {
  const { view } = self.view;
  return {
    name: view.name,
    address: view.role === "worker" ? (view.addresses[0] ?? "") : view.k8sdAddress,
    "cluster-role": view.role,
    ...(view.role === "worker" ? {} : voter(engineName(self.view))),
  };
}

function lifeOf(seen: Liveness | undefined): Pick<NodeOfCluster, "liveness" | "last-contact"> {
  if (seen === undefined) return {};
  const { state, lastContact } = seen;
  const at = lastContact === undefined ? {} : { "last-contact": new Date(lastContact).toISOString() };
  return { liveness: state, ...at };
}

function externalServers(datastore: DatastoreView): { readonly servers?: string[] } {
  if (datastore.engine === "postgres") return { servers: [datastore.server] };
  return datastore.engine === "external" ? { servers: [...datastore.endpoints] } : {};
}

/** The embedded datastore has one voter, and an external one is nobody's member. */
function voter(engine: string): Pick<NodeStatus, "datastore-role"> {
  return engine === "external" ? {} : { "datastore-role": "voter" };
}
