import { isIP } from "node:net";
import { hostPort, splitHostPort } from "../../components/address.ts";
import { AppError } from "../../lib/app-error.ts";
import { canonicalIp } from "../../pki/names.ts";
import type { KnownMember } from "../roster.ts";

/**
 * Other members at the addresses that a person says they have now, by what is known of them besides.
 * @param peers `ip`, or `ip:port` of its k8sd, by the name of the member
 */
export function hintedMembers(
  known: readonly KnownMember[],
  peers: Readonly<Record<string, string>>,
  self: string,
): readonly KnownMember[] {
  return Object.entries(peers).map(([wanted, text]) => {
    const name = wanted.toLowerCase();
    const member = known.find((each) => each.name === name);
    if (member === undefined) {
      throw new AppError("not-found", `cannot note the address of ${wanted}: no member has this name`, {
        field: "peer",
        remedy: `The members are ${known.map((each) => each.name).join(", ")}.`,
      });
    }
    if (member.id === self) {
      throw new AppError("invalid", `cannot note the address of ${name}: that is this node`, {
        field: "peer",
        remedy: `Run 'k8s set-address ${text}'.`,
      });
    }
    const { host, port } = hostOf(name, text, splitHostPort(member.k8sdAddress)?.port ?? 0);
    const others = member.addresses.filter((each) => each.includes(":") !== host.includes(":"));
    return { ...member, addresses: [host, ...others], k8sdAddress: hostPort(host, port) };
  });
}

function hostOf(name: string, text: string, defaultPort: number): { readonly host: string; readonly port: number } {
  const { host, port } = splitHostPort(text) ?? { host: text.replace(/^\[(.*)\]$/, "$1"), port: defaultPort };
  if (isIP(host) !== 0 && !host.includes("%") && port > 0 && port <= 65_535) return { host: canonicalIp(host), port };
  throw new AppError("invalid", `cannot note the address of ${name}: ${JSON.stringify(text)} is no IP address`, {
    field: "peer",
    remedy: `Give ${name}=IP, or ${name}=IP:PORT with the port of its k8sd.`,
  });
}
