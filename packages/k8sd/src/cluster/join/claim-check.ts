import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { isLoopback, splitHostPort } from "../../components/address.ts";
import { pkiFiles } from "../../components/certificates.ts";
import type { Paths } from "../../host/paths.ts";
import { AppError } from "../../lib/app-error.ts";
import { canonicalIp, type SubjectAltNames } from "../../pki/names.ts";
import { namesOf, readCertificates } from "../../pki/x509.ts";
import { cleanHostname } from "../config/hostname.ts";
import type { Claim } from "../ledger-admission.ts";
import type { MemberRecord } from "../ledger-records.ts";

type Claimed = Pick<Claim, "name" | "role" | "addresses" | "k8sdAddress">;

/** What the API server of this control plane answers under. */
export async function servedNames(paths: Paths): Promise<SubjectAltNames> {
  const file = pkiFiles(paths).apiserver.crt;
  return namesOf(readCertificates(await readFile(file, "utf8"), file)[0]);
}

/** Nodes clean it before they ask; who does not would be a second node under what others take for one name. */
export function refuseOddName({ name }: Pick<Claim, "name">): void {
  if (cleanHostname(name) === name) return;
  throw new AppError("invalid", `cannot take in a node as ${JSON.stringify(name)}: it is not in lower case`, {
    field: "name",
  });
}

/**
 * A worker's certificates are signed by the authority that clients of the API server trust, and carry what the worker says
 * that its name and addresses are. It must not be able to pass for the API server with them.
 */
export function refuseServed(
  { name, role, addresses }: Claimed,
  served: SubjectAltNames,
  members: readonly Pick<MemberRecord, "name" | "state">[],
): void {
  if (role !== "worker") return;
  // That of a member is refused as such.
  const isMember = members.some((member) => member.name === name && member.state !== "removed");
  const taken = [
    ...(served.dns.includes(name) && !isMember ? [name] : []),
    ...addresses.filter((address) => !isLoopback(address) && served.ip.includes(canonicalIp(address))),
  ];
  if (taken.length === 0) return;
  throw new AppError("conflict", `cannot take in ${name}: the API server answers under ${taken.join(", ")}`, {
    field: served.dns.includes(name) ? "name" : "address",
    remedy: "Give this node a name and an address of its own, with --name and --address.",
  });
}

/**
 * Two control planes at one address would be one to etcd: whoever takes the dead one out would take out the living. A worker
 * may have the address of a machine that is gone; machines come and go with theirs.
 */
export function refuseTakenAddress(
  { nodeId, name, role, k8sdAddress }: Pick<Claim, "nodeId" | "name" | "role" | "k8sdAddress">,
  members: readonly Pick<MemberRecord, "id" | "name" | "role" | "state" | "k8sdAddress">[],
): void {
  if (role === "worker") return;
  const at = spelled(k8sdAddress);
  // That of its own name is told of as such.
  const other = members.find(
    (member) =>
      member.id !== nodeId &&
      member.role === "control-plane" &&
      member.state !== "removed" &&
      member.name !== name &&
      spelled(member.k8sdAddress) === at,
  );
  if (other === undefined) return;
  throw new AppError(
    "conflict",
    `cannot join as ${name}: ${other.name}, which is ${other.state}, has the address ${at}`,
    {
      field: "address",
      remedy: `Remove it with 'k8s remove-node ${other.name}' when it is gone, or join with another --address.`,
    },
  );
}

/** Of two ways to write an IPv6 address, one. */
function spelled(address: string): string {
  const { host, port } = splitHostPort(address) ?? { host: "", port: 0 };
  return isIP(host) === 6 ? `[${canonicalIp(host)}]:${port}` : address;
}
