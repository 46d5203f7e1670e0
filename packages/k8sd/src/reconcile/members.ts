import type { Member } from "@k8sd/api-types";
import type { BootstrapInput } from "../cluster/bootstrap/plan.ts";
import { type ClusterLink, linkOf } from "../cluster/join/link.ts";
import { podCidrsOf } from "../cluster/join/members.ts";
import { createLedger } from "../cluster/ledger.ts";
import type { MemberRecord } from "../cluster/ledger-records.ts";
import type { LedgerView } from "../cluster/mesh/records.ts";
import type { NodeKey } from "../cluster/node-key.ts";
import type { KnownMember, Roster } from "../cluster/roster.ts";
import type { Datastore } from "../datastore/datastore.ts";
import type { Reconciler } from "./loop.ts";
import type { MemberMesh } from "./member-mesh.ts";

/** The watch ended: its datastore is away for a moment. */
const againMs = 500;
/** What a worker learns this way is who routes where; pods are slower to start than this. */
const pollMs = 5_000;
/** While the mesh tells it, in case what it tells is not all. */
const slowPollMs = 60_000;

/**
 * On control planes: the roster is what the ledger says, as soon as it says it. While a node's own etcd has no quorum it reads
 * that of its peers, and one that was recovered meanwhile may know less of where they are than what this node was told: then
 * nobody would be found any more to follow.
 */
export function createLedgerFollower(
  { config, epoch = 1, view }: Pick<BootstrapInput, "config" | "epoch" | "view">,
  deps: {
    readonly roster: Pick<Roster, "follow">;
    readonly datastore: () => Promise<Datastore>;
    readonly seen: (view: LedgerView) => void;
  },
): Reconciler {
  return {
    name: "ledger",
    reconcile: async (signal) => {
      const ledger = createLedger(await deps.datastore());
      const podCidrs = (member: MemberRecord) => podCidrsOf(config, member);
      // Where the datastore is not one of the members' own, a recovery is nobody's to follow.
      const own = view.datastore.engine === "etcd" ? { epoch } : {};
      await deps.roster.follow(ledger, { podCidrs, seen: deps.seen, ...own }, signal);
      return againMs;
    },
  };
}

/** On workers: asks whichever control plane answers, where the mesh does not tell. */
export function createMembersPoll(
  input: BootstrapInput,
  deps: {
    readonly roster: Pick<Roster, "members" | "replace">;
    readonly mesh: Pick<MemberMesh, "isCurrent">;
    readonly nodeKey: NodeKey;
    readonly now: () => number;
    /** What holds the cluster's data now. */
    readonly engine: (type: string) => void;
  },
): Reconciler {
  let known: readonly string[] = input.via?.addresses ?? [];
  let askedAt = Number.NEGATIVE_INFINITY;
  return {
    name: "members",
    reconcile: async (signal) => {
      if (deps.mesh.isCurrent() && performance.now() - askedAt < slowPollMs) return pollMs;
      // What was told about who has moved comes first.
      const told = deps.roster
        .members()
        .flatMap(({ role, k8sdAddress }) => (role === "control-plane" ? [k8sdAddress] : []));
      const addresses = [...new Set([...told, ...known])];
      const link = linkOf(input, deps, { addresses, patienceMs: 0 });
      const answer = await link.members(signal);
      const { "datastore-type": type } = answer;
      if (type !== undefined) deps.engine(type);
      deps.roster.replace(answer.members.filter(isKnown).map(toKnown));
      const controlPlanes = answer.members.filter(({ role, state }) => role === "control-plane" && state === "active");
      known = [...new Set([...controlPlanes.map((member) => member["k8sd-address"]), ...known])].slice(0, 64);
      await completeOwn(input, answer.members, { link, meshPeer: deps.nodeKey.meshPeer }, signal);
      askedAt = performance.now();
      return pollMs;
    },
  };
}

/** A worker that came in without a peer id, or under an older rule for it, says it now. */
async function completeOwn(
  { nodeId, view }: BootstrapInput,
  members: readonly Member[],
  { link, meshPeer }: { readonly link: ClusterLink; readonly meshPeer: string },
  signal: AbortSignal,
): Promise<void> {
  const own = members.find(({ id }) => id === nodeId);
  if (own?.state !== "active" || own["mesh-peer"] === meshPeer) return;
  const at = { addresses: [...view.addresses], "k8sd-address": view.k8sdAddress };
  await link.ask("moveMember", { ...at, "mesh-peer": meshPeer, requests: {} }, signal);
}

type WireMember = Member & { role: KnownMember["role"] };

function isKnown(member: Member): member is WireMember {
  return member.role !== "unknown";
}

function toKnown(member: WireMember): KnownMember {
  return {
    id: member.id,
    name: member.name,
    role: member.role,
    state: member.state,
    addresses: member.addresses,
    k8sdAddress: member["k8sd-address"],
    publicKeyFingerprint: member.key,
    ...(member["mesh-peer"] === undefined ? {} : { meshPeer: member["mesh-peer"] }),
    changedAt: member["changed-at"] ?? 0,
    podCidrs: member["pod-cidrs"],
  };
}
