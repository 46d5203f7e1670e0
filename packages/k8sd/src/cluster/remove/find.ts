import { AppError } from "../../lib/app-error.ts";
import type { MemberRecord } from "../ledger-records.ts";

/**
 * The node that a person means: by name, id, or an address, with or without its port. Of several that had the name or the
 * address one after the other, the one that is in. @returns undefined when nothing of that kind was ever a member.
 */
export function findMember(members: readonly MemberRecord[], who: string): MemberRecord | undefined {
  const named = members.filter(({ id, name }) => name === who || id === who);
  const addressed = members.filter(({ addresses, k8sdAddress }) => addresses.includes(who) || k8sdAddress === who);
  const found = named.length > 0 ? named : addressed;
  const present = found.filter(({ state }) => state !== "removed");
  if (present.length > 1) {
    const names = present.map(({ name, id }) => `${name} (${id})`).join(", ");
    throw new AppError("invalid", `cannot tell which node ${JSON.stringify(who)} is: ${names}`, {
      field: "name",
      remedy: "Give its name or id.",
    });
  }
  return present[0] ?? found[0];
}
