import { randomUUID } from "node:crypto";
import type { AdvanceRequest } from "@k8sd/api-types";
import type { Logger } from "pino";
import type { Host } from "../../host/host.ts";
import { AppError } from "../../lib/app-error.ts";
import type { Audit } from "../../node-db/audit.ts";
import type { IdentityStore } from "../../node-db/identity.ts";
import type { Runner } from "../../operations/runner.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import type { Connections } from "../connections.ts";
import type { ClusterLink } from "../join/link.ts";
import { linkToOthers } from "../join/link-to-others.ts";
import { createLeaveExecutors } from "../leave/executors.ts";
import { createLeave } from "../leave/leave.ts";
import { createLedger } from "../ledger.ts";
import type { NodeKey } from "../node-key.ts";
import { createOrphans } from "../orphans/orphans.ts";
import type { Roster } from "../roster.ts";
import { createRemoveExecutors } from "./executors.ts";
import { createRemove } from "./remove.ts";
import { createTakeAway } from "./take-away.ts";

export interface RemovalDeps {
  readonly host: Host;
  readonly log: Logger;
  readonly identity: IdentityStore<BootstrapInput>;
  readonly audit: Audit;
  readonly runner: Runner;
  readonly roster: Roster;
  readonly nodeKey: NodeKey;
  readonly connections: () => Connections;
  readonly member: { stop(): Promise<void> };
  readonly release: (nodeId: string, signal: AbortSignal) => Promise<void>;
  /** What this node holds of the mesh of its cluster. */
  readonly forgetMesh: () => void;
  readonly now: () => number;
}

/** The ways out of the cluster: of another node, of this one, and of one that learns that it is out. */
export function createRemoval(deps: RemovalDeps) {
  const { host, identity, runner, roster, nodeKey, connections, now } = deps;
  const self = (): BootstrapInput => {
    const found = identity.read()?.view;
    if (found !== undefined) return found;
    throw new AppError("not-initialised", "the node is not part of a cluster", { remedy: "Run 'k8s bootstrap'." });
  };
  const link = (): Promise<ClusterLink | undefined> =>
    linkToOthers(self(), { members: roster.members(), nodeKey, clusterCert: host.paths.clusterCert, now });
  const others = async (): Promise<ClusterLink> => {
    const found = await link();
    if (found !== undefined) return found;
    throw new AppError("unavailable", "cannot ask the cluster: no other control plane is known");
  };

  /** A control plane writes it itself; a worker asks one. */
  async function announce({ force }: { readonly force: boolean }, signal: AbortSignal): Promise<void> {
    const { nodeId, view } = self();
    if (view.role === "worker") {
      const order: AdvanceRequest = { action: "leave", ...(force ? { force } : {}) };
      await (await others()).ask("advanceMember", order, signal);
      return;
    }
    const ledger = createLedger(await connections().datastore());
    await ledger.leave(nodeId, now(), signal, { force, until: now() });
  }

  const takeAway = createTakeAway({ self, connections, members: roster.members, now });
  const leave = createLeave({ runner, self, members: roster.members });
  const remove = createRemove({ runner, connections, self, leave: leave.begin, release: deps.release, now });
  runner.register("remove", createRemoveExecutors({ connections, takeAway, now }));
  runner.register("leave", createLeaveExecutors({ ...deps, link: others, announce }));

  return {
    remove,
    leave: leave.leave,
    self,
    takeAway,
    orphans: createOrphans({ ...deps, self }),
    link,
    /** Said by the cluster. */
    wasRemoved: async (): Promise<void> => {
      deps.log.warn("The cluster has taken this node out; removing what belongs to it");
      const { result } = await leave.wasRemoved(randomUUID());
      // Not waited for: what looks is stopped by it.
      result.catch(() => {
        // Logged by the runner; the next look tries again.
      });
    },
  };
}
