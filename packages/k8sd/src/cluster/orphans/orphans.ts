import type { Logger } from "pino";
import { nodes } from "../../kube/resources.ts";
import { errorText } from "../../lib/app-error.ts";
import type { Audit } from "../../node-db/audit.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { annotation, annotationFlag } from "../config/annotations.ts";
import type { Connections } from "../connections.ts";
import { createLedger } from "../ledger.ts";
import type { MemberRecord } from "../ledger-records.ts";
import { isTaken, withClusterLock } from "../lock.ts";
import { takeOutEtcdMember } from "../remove/etcd.ts";
import { type ClusterView, dueOf, findOrphans, type Orphan, type Sightings, type Spared, sight } from "./find.ts";

export interface OrphansDeps {
  readonly self: () => BootstrapInput;
  readonly connections: () => Connections;
  readonly audit: Pick<Audit, "record">;
  readonly log: Logger;
  readonly now: () => number;
}

/** Reads of a cluster that is well take milliseconds. */
const readMs = 5_000;

export interface Orphans {
  /** One look; what was without a member for long enough is taken away. */
  round(signal: AbortSignal): Promise<void>;
}

/**
 * etcd's members and Kubernetes' Nodes are derived from the ledger: those that no member owns are taken away, by one
 * control plane at a time. Nothing is judged by a node that is not itself an active member.
 */
export function createOrphans(deps: OrphansDeps): Orphans {
  let sightings: Sightings = new Map();
  let told = "";

  async function look(
    signal: AbortSignal,
  ): Promise<{ view: ClusterView; members: readonly MemberRecord[] } | undefined> {
    const { nodeId, view, kubernetes } = deps.self();
    const datastore = await deps.connections().datastore();
    const ledger = createLedger(datastore);
    // First what is derived: a member that comes in meanwhile is in the ledger before anything of it is elsewhere.
    const etcd = view.datastore.engine === "etcd" ? await etcdOf(view.datastore.peerPort, signal) : undefined;
    const kube = kubernetes ? await deps.connections().kube() : undefined;
    const seen = await kube?.list(nodes, { signal });
    const [members, config] = await Promise.all([ledger.members(signal), ledger.config(signal)]);
    if (!members.some(({ id, state }) => id === nodeId && state === "active") || config === undefined) return undefined;
    // Whoever manages the machines deletes their Nodes.
    const keepsNodes = annotationFlag(config, annotation.skipNodeCleanupOnRemove);
    return {
      members,
      view: {
        members,
        ...(etcd === undefined ? {} : { etcd }),
        ...(seen === undefined || keepsNodes ? {} : { nodes: seen.items }),
      },
    };
  }

  async function etcdOf(peerPort: number, signal: AbortSignal): Promise<NonNullable<ClusterView["etcd"]>> {
    const datastore = await deps.connections().datastore();
    const call = { signal, timeoutMs: readMs };
    const [{ memberId }, members] = await Promise.all([datastore.status(call), datastore.memberList(call)]);
    return { peerPort, members, self: memberId };
  }

  async function takeAway(orphan: Orphan, members: readonly MemberRecord[], signal: AbortSignal): Promise<void> {
    const { nodeId, view } = deps.self();
    if (orphan.kind === "node") {
      await (await deps.connections().kube()).delete(nodes, { name: orphan.name }, { uid: orphan.id, signal });
      return;
    }
    const others = members.flatMap(({ id, role, state, addresses: [address] }) =>
      id !== nodeId && role === "control-plane" && state === "active" && address !== undefined ? [address] : [],
    );
    const who = { id: BigInt(`0x${orphan.id}`) };
    // Never by force: what would stop the cluster from writing stays.
    const removal = { view, who, others, force: false };
    await takeOutEtcdMember(removal, await deps.connections().datastore(), { signal, progress: () => {} });
  }

  async function takeAwayAll(due: readonly Orphan[], signal: AbortSignal): Promise<void> {
    // The record may be there by now, and another control plane may have been faster.
    const seen = await look(signal);
    const still = seen === undefined ? [] : findOrphans(seen.view).orphans;
    const failed: unknown[] = [];
    for (const orphan of due) {
      if (seen === undefined || !still.some(({ kind, id }) => kind === orphan.kind && id === orphan.id)) continue;
      const outcome = await takeAway(orphan, seen.members, signal).then(
        () => "ok",
        (error: unknown) => {
          signal.throwIfAborted();
          failed.push(error);
          return errorText(error);
        },
      );
      const { kind, id, name } = orphan;
      deps.log.warn({ kind, id, name, outcome }, "Taking away what no member of the cluster owns");
      deps.audit.record({ actor: "k8sd", action: `orphan.remove-${kind}`, outcome, details: { name, id } });
    }
    if (failed.length > 0) throw failed[0];
  }

  /** Each time that there are others. */
  function tell(spared: readonly Spared[]): void {
    const text = spared.map(({ name, why }) => `${name} (${why})`).join(", ");
    if (text !== "" && text !== told) {
      deps.log.warn({ nodes: text }, "Kubernetes has Nodes that no member of the cluster owns; they are left alone");
    }
    told = text;
  }

  return {
    round: async (signal) => {
      const seen = await look(signal);
      const { orphans, spared } = findOrphans(seen?.view ?? { members: [] });
      tell(spared);
      sightings = sight(sightings, orphans, deps.now());
      const due = dueOf(sightings, deps.now());
      if (due.length === 0) return;
      const lock = { name: "orphans", signal, waitMs: 0 };
      try {
        await withClusterLock(await deps.connections().datastore(), lock, (held) => takeAwayAll(due, held));
      } catch (error) {
        // Another control plane is at it.
        if (!isTaken(error)) throw error;
      }
    },
  };
}
