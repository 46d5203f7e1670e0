import { AppError } from "../lib/app-error.ts";
import { type AuthorityName, type AuthorityRow, authorityTable } from "./authority-table.ts";
import { issuedUntil } from "./certificate.ts";
import { type CertificateRow, certificateTable, type PairName } from "./certificate-table.ts";
import { privateKeyPem, readPrivateKey } from "./keys.ts";
import { lifetimes } from "./lifetimes.ts";
import type { Subject, SubjectAltNames } from "./names.ts";
import type { NodeIdentity, NodeRole } from "./node-identity.ts";
import {
  checkExternalDatastore,
  checkPair,
  type PemPair,
  type ReadAuthority,
  readAuthority,
  type SuppliedPki,
} from "./supplied.ts";
import { invalidCertificate, missingUsage } from "./verify.ts";
import { readCertificates } from "./x509.ts";

export interface CheckOptions {
  readonly role: NodeRole;
  /** "managed": we run the datastore and its certificates (embedded or etcd). */
  readonly datastore: "managed" | "external";
  /** Only a bootstrap makes authorities and the service-account key; everybody else is given them. */
  readonly createAuthorities: boolean;
  readonly now: Date;
}

/** What a node has been given, found good, and what is left to make. */
export interface CheckedPki {
  readonly supplied: SuppliedPki;
  readonly authorities: readonly CheckedAuthority[];
  readonly pairs: readonly CheckedPair[];
  /** undefined: it is to be made. Workers have none. */
  readonly serviceAccountKey: string | undefined;
  /** The node talks to a datastore that is not ours. */
  readonly external: boolean;
}

export interface CheckedAuthority {
  readonly row: AuthorityRow;
  /** undefined: it is to be made. */
  readonly given: ReadAuthority | undefined;
}

export type CheckedPair =
  | { readonly row: CertificateRow; readonly given: PemPair }
  | { readonly row: CertificateRow; readonly wanted: { readonly subject: Subject; readonly names: SubjectAltNames } };

/**
 * Checks what the user supplied, and that the rest can be made from it. Makes nothing itself, so it costs little when
 * nothing was supplied.
 */
export function checkSupplied(supplied: SuppliedPki, node: NodeIdentity, options: CheckOptions): CheckedPki {
  const external = options.datastore === "external" && options.role === "control-plane";
  const applies = (row: { readonly roles: readonly NodeRole[]; readonly managedDatastoreOnly?: boolean }): boolean =>
    row.roles.includes(options.role) && !(external && row.managedDatastoreOnly === true);
  const rows = certificateTable.filter(applies);

  const authorities = new Map<AuthorityName, CheckedAuthority>();
  for (const row of authorityTable.filter(applies))
    authorities.set(row.name, { row, given: checkAuthority(row, supplied, options) });
  const serviceAccountKey = options.role === "worker" ? undefined : checkServiceAccountKey(supplied, options);
  if (external) checkExternalDatastore(supplied, options.now);

  const given = new Map<PairName, PemPair>();
  for (const row of rows) {
    // Nothing is signed yet by an authority that is to be made.
    const trusted = row.issuer === "self" ? undefined : (authorities.get(row.issuer)?.given?.trusted ?? []);
    const pair = checkPair(row, supplied, { node, trusted, now: options.now });
    if (pair !== undefined) given.set(row.name, pair);
  }
  const found = rows.map((row) => ({
    row,
    pair: given.get(row.name) ?? checkIssuer(row, authorities, given, options),
  }));
  const pairs = found.map(({ row, pair }): CheckedPair => {
    if (pair !== undefined) return { row, given: pair };
    const subject = row.subject(node);
    const issuer = row.issuer === "self" ? undefined : authorities.get(row.issuer)?.given?.signer?.certificate;
    if (issuer !== undefined) issuedUntil(subject.commonName, lifetimes.leaf, issuer.validToDate, options.now);
    return { row, wanted: { subject, names: row.names(node, options.role) } };
  });
  return { supplied, authorities: [...authorities.values()], pairs, serviceAccountKey, external };
}

function checkAuthority(row: AuthorityRow, supplied: SuppliedPki, options: CheckOptions): ReadAuthority | undefined {
  const given = readAuthority(row, supplied, options.now);
  if (given !== undefined || options.createAuthorities) return given;
  throw new AppError("invalid", `cannot complete the certificates: ${row.title} not specified`, {
    field: `${row.name}-crt`,
    remedy: "A node that joins needs the authorities of its cluster.",
  });
}

/** kube-apiserver signs tokens with RSA and EC keys only. */
function checkServiceAccountKey(supplied: SuppliedPki, options: CheckOptions): string | undefined {
  const field = "service-account-key";
  const pem = supplied[field] ?? "";
  if (pem === "") {
    if (options.createAuthorities) return undefined;
    throw new AppError("invalid", `cannot complete the certificates: ${field} not specified`, { field });
  }
  const key = readPrivateKey(pem, field);
  if (key.asymmetricKeyType === "ed25519") {
    throw new AppError("invalid", `cannot use ${field}: kube-apiserver does not sign with Ed25519 keys`, {
      field,
      remedy: "Give an EC (P-256, P-384, P-521) or RSA key.",
    });
  }
  return privateKeyPem(key);
}

/** undefined when a certificate that was not supplied can be made, otherwise the pair that stands in for it. */
function checkIssuer(
  row: CertificateRow,
  authorities: ReadonlyMap<AuthorityName, CheckedAuthority>,
  given: ReadonlyMap<PairName, PemPair>,
  options: CheckOptions,
): PemPair | undefined {
  if (row.issuer === "self") {
    if (row.scope === "node" || options.createAuthorities) return undefined;
    throw new AppError("invalid", `cannot complete the certificates: ${row.title} certificate not specified`, {
      field: `${row.name}-crt`,
    });
  }
  const authority = authorities.get(row.issuer);
  const canSign = authority !== undefined && (authority.given === undefined || authority.given.signer !== undefined);
  if (canSign) return undefined;
  const substitute = row.substitute === undefined ? undefined : given.get(row.substitute);
  if (row.substitute !== undefined && substitute !== undefined) {
    requireUsages(row, row.substitute, substitute);
    return substitute;
  }
  const title = authority?.row.title ?? row.issuer;
  throw new AppError(
    "invalid",
    `cannot complete the certificates: using an external ${title} without providing the ${row.title} certificate is not possible`,
    {
      field: `${row.name}-crt`,
      remedy: `Supply ${row.name}-crt and ${row.name}-key, or supply ${row.issuer}-key too.`,
    },
  );
}

function requireUsages(row: CertificateRow, name: PairName, substitute: PemPair): void {
  const field = `${name}-crt`;
  const usage = missingUsage(readCertificates(substitute.certificate, field)[0], row.usages);
  if (usage === undefined) return;
  const reason = `its extended key usage does not allow ${usage}Auth, and ${row.issuer}-key is not there to make the ${row.title} certificate`;
  throw invalidCertificate(field, name, reason, `Supply ${field} with ${usage}Auth too, or supply ${row.issuer}-key.`);
}
