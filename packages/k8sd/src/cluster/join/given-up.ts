import type { Member } from "../../datastore/datastore.ts";
import type { MemberRecord } from "../ledger-records.ts";
import { peerUrl } from "./prepare.ts";

export interface AroundLearner {
  readonly members: readonly Pick<MemberRecord, "name" | "role" | "state" | "addresses">[];
  readonly etcd: readonly Member[];
  readonly peerPort: number;
  /** Name of the node that waits for its turn. */
  readonly self: string;
}

/**
 * True for a learner of etcd that no member owns. One whose address in the ledger is not the one that it has now comes back
 * after a recovery as a learner at the new one, and is not known by its name before it runs: while such a member is missing,
 * the learner may be it.
 */
export function isGivenUp(learner: Member, { members, etcd, peerPort, self }: AroundLearner): boolean {
  const present = members.filter(({ state }) => state !== "removed" && state !== "leaving");
  const others = etcd.filter(({ id }) => id !== learner.id);
  const isAt = (member: Member, addresses: readonly string[]): boolean =>
    addresses.some((address) => member.peerUrls.includes(peerUrl(address, peerPort)));
  if (present.some(({ addresses }) => isAt(learner, addresses))) return false;
  const missing = present.filter(
    ({ name, role, state, addresses }) =>
      name !== self &&
      role === "control-plane" &&
      state === "active" &&
      !others.some((member) => member.name === name || isAt(member, addresses)),
  );
  return !missing.some(({ name }) => learner.name === "" || learner.name === name);
}
