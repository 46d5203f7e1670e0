import { isIP } from "node:net";
import { hostPort, splitHostPort } from "../../components/address.ts";
import { AppError } from "../../lib/app-error.ts";
import { canonicalIp } from "../../pki/names.ts";
import type { MemberRecord } from "../ledger-records.ts";

/**
 * The node that a person means: by name, id, or an address, with or without its port, with capitals or without. Of several
 * that had the name or the address one after the other, the one that is in. @returns undefined when nothing of that kind was
 * ever a member.
 */
export function findMember(members: readonly MemberRecord[], who: string): MemberRecord | undefined {
  const wanted = spelled(who);
  const named = members.filter(({ id, name }) => name === wanted || id === wanted);
  const addressed = members.filter(
    ({ addresses, k8sdAddress }) =>
      spelled(k8sdAddress) === wanted || addresses.some((address) => spelled(address) === wanted),
  );
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

/** Names are kept in lower case, and IPv6 has many ways to write one address. */
function spelled(text: string): string {
  const bare = text.trim().toLowerCase();
  const target = splitHostPort(bare);
  if (target !== undefined && isIP(target.host) !== 0) return hostPort(canonicalIp(target.host), target.port);
  const host = bare.replace(/^\[(.*)\]$/, "$1");
  return isIP(host) === 0 ? bare : canonicalIp(host);
}
