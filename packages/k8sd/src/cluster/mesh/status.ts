import type { MeshPeerStatus, MeshStatus } from "@k8sd/api-types";
import type { PeerReport } from "../../mesh/reachability.ts";
import type { Head } from "../../mesh/types.ts";
import type { KnownMember } from "../roster.ts";

export interface MeshState {
  /** Why there is none; undefined while it runs. */
  readonly off: string | undefined;
  readonly head: Head;
  readonly peers: readonly PeerReport[];
}

/** What `k8s mesh` shows. */
export function meshStatus({ off, head, peers }: MeshState, members: readonly KnownMember[]): MeshStatus {
  const known = new Map(members.map((member) => [member.id, member]));
  return {
    running: off === undefined,
    ...(off === undefined ? {} : { reason: off }),
    replica: { epoch: head.epoch, revision: head.revision },
    peers: peers.map((peer) => peerStatus(peer, known.get(peer.id))).sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

function peerStatus(peer: PeerReport, member: KnownMember | undefined): MeshPeerStatus {
  const { id, peerId, addresses, state, since, lastContact, connected, rttMs, skewMs, problem } = peer;
  return {
    id,
    name: member?.name ?? id,
    role: member?.role ?? "unknown",
    "peer-id": peerId,
    addresses: [...addresses],
    state,
    since: time(since),
    ...(lastContact === undefined ? {} : { "last-contact": time(lastContact) }),
    connected,
    ...(rttMs === undefined ? {} : { "round-trip-ms": Math.round(rttMs * 100) / 100 }),
    ...(skewMs === undefined ? {} : { "clock-skew-ms": Math.round(skewMs) }),
    ...(problem === undefined ? {} : { problem: { reason: problem.reason, detail: problem.detail } }),
  };
}

function time(at: number): string {
  return new Date(at).toISOString();
}
