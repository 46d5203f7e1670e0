import type { LedgerRevision } from "../../mesh/replica.ts";
import type { ClusterConfig } from "../config/types.ts";
import { podCidrsOf } from "../join/members.ts";
import type { MemberRecord, StoredMember } from "../ledger-records.ts";
import type { KnownMember } from "../roster.ts";

/** The members as the ledger has them at one revision. */
export interface LedgerView {
  readonly epoch: number;
  readonly revision: number;
  readonly members: readonly MemberRecord[];
}

const prefix = "members/";

/** What control planes spread. All of them make the same of one revision, so that it does not matter who was first. */
export function toRevision({ epoch, revision, members }: LedgerView): LedgerRevision {
  const present = members.filter(({ state }) => state !== "removed");
  const records = present.map(({ revision: at, token: _token, ...member }) => ({
    key: `${prefix}${member.id}`,
    value: JSON.stringify(member),
    revision: at,
  }));
  return { epoch, revision, records };
}

/** @param config of the cluster: what a part of the pod range is follows from it */
export function fromRecords(entries: ReadonlyMap<string, { value: string }>, config: ClusterConfig): KnownMember[] {
  const members = [...entries].flatMap(([key, { value }]): KnownMember[] => {
    if (!key.startsWith(prefix)) return [];
    const member = JSON.parse(value) as Omit<StoredMember, "token">;
    const { id, name, role, state, addresses, k8sdAddress, publicKeyFingerprint, meshPeer, changedAt } = member;
    return [
      {
        ...{ id, name, role, state, addresses, k8sdAddress, publicKeyFingerprint, changedAt },
        ...(meshPeer === undefined ? {} : { meshPeer }),
        podCidrs: podCidrsOf(config, member),
      },
    ];
  });
  return members.sort((a, b) => (a.id < b.id ? -1 : 1));
}
