import { isDeepStrictEqual } from "node:util";
import type { Claim } from "./ledger-admission.ts";
import { memberKey, nameKey, podSubnetKey, type StoredMember } from "./ledger-records.ts";
import type { Guard, Stored, Write } from "./ledger-store.ts";
import { type StoredToken, tokenKey, withHold } from "./tokens-rules.ts";

export interface PlaceParts {
  /** Its tombstone, if it was here before. */
  readonly before: Stored<StoredMember> | undefined;
  readonly token: StoredToken;
  readonly podSubnetIndex: number;
  readonly at: number;
  readonly heldUntil: number;
}

export interface Place {
  readonly member: StoredMember;
  readonly guards: readonly Guard[];
  readonly writes: readonly Write[];
}

/** Everything that is held for a node, as one transaction: its record, its name, its part of the pod range, its token. */
export function placeFor(claim: Claim, { before, token, podSubnetIndex, at, heldUntil }: PlaceParts): Place {
  const { nodeId, name, role, publicKeyFingerprint, meshPeer, addresses, k8sdAddress, versions } = claim;
  const member: StoredMember = {
    id: nodeId,
    name,
    publicKeyFingerprint,
    ...(meshPeer === undefined ? {} : { meshPeer }),
    addresses,
    k8sdAddress,
    role,
    state: "reserved",
    incarnation: (before?.value.incarnation ?? 0) + 1,
    versions,
    podSubnetIndex,
    token: token.value.id,
    changedAt: at,
  };
  return {
    member,
    guards: [
      { key: memberKey(nodeId), seen: before },
      { key: nameKey(name), seen: undefined },
      { key: podSubnetKey(podSubnetIndex), seen: undefined },
      { key: tokenKey(token.value.id), seen: token },
    ],
    writes: [
      { key: memberKey(nodeId), value: member },
      { key: nameKey(name), value: nodeId },
      { key: podSubnetKey(podSubnetIndex), value: nodeId },
      { key: tokenKey(token.value.id), value: withHold(token.value, nodeId, heldUntil) },
    ],
  };
}

/** The member as it is now: it may have got another address, or other programs, since it asked for the first time. */
export function asClaimed(member: StoredMember, { addresses, k8sdAddress, meshPeer, versions }: Claim): StoredMember {
  const next = { ...member, addresses, k8sdAddress, versions, ...(meshPeer === undefined ? {} : { meshPeer }) };
  return isDeepStrictEqual(next, member) ? member : next;
}
