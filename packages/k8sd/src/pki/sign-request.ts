import { AppError } from "../lib/app-error.ts";
import { type Authority, issueCertificate } from "./certificate.ts";
import { certificateRow, type PairName } from "./certificate-table.ts";
import { parseCsr } from "./csr.ts";
import { lifetimes } from "./lifetimes.ts";
import type { NodeIdentity, NodeRole } from "./node-identity.ts";

export interface SigningContext {
  /** The node the request must be for, from its record. */
  readonly node: NodeIdentity;
  readonly role: NodeRole;
  readonly authority: Authority;
  readonly now: Date;
  readonly lifetimeMs?: number;
}

/**
 * Signs a node's request for one certificate of the table. Whoever approved the request: its subject must be the
 * node's, it may ask for no name that is not the node's, and what is issued carries the names of the node's record.
 */
export function signRequest(name: PairName, csrPem: string, context: SigningContext): string {
  const row = certificateRow(name);
  const csr = parseCsr(csrPem);
  const subject = row.subject(context.node);
  const refuse = (reason: string): AppError =>
    new AppError("forbidden", `cannot sign the request for ${row.title} of ${context.node.nodeName}: ${reason}`);
  if (!row.roles.includes(context.role)) throw refuse(`a ${context.role} node has no such certificate`);
  if (csr.commonName !== subject.commonName) throw refuse(`its common name is not ${subject.commonName}`);
  if (csr.organizations.some((organization) => organization !== subject.organization))
    throw refuse("it asks for an organization that is not the node's");
  if (csr.otherNames) throw refuse("it asks for names that are neither DNS names nor IP addresses");
  const names = row.names(context.node, context.role);
  const foreign = [
    ...csr.names.dns.filter((dns) => !names.dns.includes(dns)),
    ...csr.names.ip.filter((ip) => !names.ip.includes(ip)),
  ];
  if (foreign.length > 0) throw refuse(`${foreign.slice(0, 5).join(", ")} is not a name or address of the node`);
  return issueCertificate(
    {
      subject,
      names,
      publicKey: csr.publicKey,
      usages: row.usages,
      lifetimeMs: context.lifetimeMs ?? lifetimes.leaf,
      now: context.now,
    },
    context.authority,
  );
}
