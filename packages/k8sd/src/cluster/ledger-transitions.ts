import { AppError } from "../lib/app-error.ts";
import type { MemberState, StoredMember } from "./ledger-records.ts";

/** Every change of state there is. A node whose join failed before it set anything up goes straight to removed. */
export const transitions: Readonly<Record<MemberState, readonly MemberState[]>> = {
  reserved: ["joining", "removed"],
  joining: ["active", "leaving", "removed"],
  active: ["leaving"],
  leaving: ["removed"],
  removed: ["reserved"],
};

export function moved(member: StoredMember, to: MemberState, at: number): StoredMember {
  if (transitions[member.state].includes(to)) return { ...member, state: to, changedAt: at };
  throw new AppError("conflict", `cannot make node ${member.name} ${to}: it is ${member.state}`, {
    details: { node: member.id },
  });
}

/** What stays of a node that is out: that it was here. Its part of the pod range is free for others. */
export function tombstone(member: StoredMember, at: number): StoredMember {
  const { podSubnetIndex: _free, removal: _over, ...rest } = moved(member, "removed", at);
  return rest;
}
