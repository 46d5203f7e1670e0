/** How full a member's file is, in bytes. */
export interface MemberRoom {
  readonly id: bigint;
  readonly name: string;
  readonly leader: boolean;
  readonly size: number;
  readonly inUse: number;
  /** 0: not told, by etcd before 3.6. */
  readonly quota: number;
}

/** Below this, giving room back to the disk is not worth the moment in which the member answers nobody. */
const worthBytes = 100 * 1024 * 1024;

/**
 * Whose file is written anew, in this order. The leader comes last, so that leadership moves at most once. A member answers
 * nobody meanwhile: while another one is away that is only worth it where the datastore takes no writes anyway.
 * @param full the datastore refuses writes for want of room
 */
export function toDefragment(members: readonly MemberRoom[], { full, away }: State): readonly MemberRoom[] {
  if (away > 0 && !full) return [];
  const free = ({ size, inUse }: MemberRoom) => size - inUse;
  return members
    .filter((member) => (full ? free(member) > 0 : free(member) > Math.max(worthBytes, member.size / 2)))
    .toSorted((a, b) => Number(a.leader) - Number(b.leader));
}

export interface State {
  readonly full: boolean;
  /** Members that do not answer. */
  readonly away: number;
}

/** Whether each file has room again. One that has next to none would raise the alarm again with the next writes. */
export function hasRoom(before: readonly MemberRoom[], after: readonly MemberRoom[]): boolean {
  return after.every(({ id, size, quota }) => {
    if (quota > 0) return size < quota * 0.9;
    // At the alarm it was as large as the quota, or somewhat larger.
    const full = before.find((member) => member.id === id)?.size ?? Number.POSITIVE_INFINITY;
    return size < full * 0.75;
  });
}
