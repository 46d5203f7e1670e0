import type { X509Certificate } from "node:crypto";
import { AppError } from "../lib/app-error.ts";
import { toDer } from "./asn1.ts";
import type { AuthorityName, AuthorityRow } from "./authority-table.ts";
import type { Authority } from "./certificate.ts";
import type { CertificateRow, PairName } from "./certificate-table.ts";
import { privateKeyPem, readPrivateKey } from "./keys.ts";
import { distinguishedName, type Subject } from "./names.ts";
import type { NodeIdentity } from "./node-identity.ts";
import { chainsTo, dateProblem, invalidCertificate, matchesKey, missingUsage } from "./verify.ts";
import { maySignCertificates, readCertificates, tbsFields } from "./x509.ts";

type PemKey<Name extends string> = `${Name}-crt` | `${Name}-key`;

/**
 * The configuration keys of the contract, and ours for what the contract does not let users supply. A database's URL, which
 * holds a password, goes the way of the keys: sealed, and to control planes alone.
 */
export type PkiKey =
  | PemKey<AuthorityName | PairName | "datastore-client">
  | "service-account-key"
  | "datastore-ca-crt"
  | "datastore-url";

/** PEM texts, and that URL, by configuration key. An empty text counts as absent. */
export type SuppliedPki = { readonly [Key in PkiKey]?: string | undefined };

/** What an etcd of somebody else is known by, and lets us in by. */
export type EtcdAccess = Pick<SuppliedPki, "datastore-ca-crt" | "datastore-client-crt" | "datastore-client-key">;

/** A certificate, with any intermediates after it, and its key. */
export interface PemPair {
  readonly certificate: string;
  readonly key: string;
}

export interface ReadAuthority {
  readonly pem: string;
  readonly trusted: readonly X509Certificate[];
  readonly signer: (Authority & { readonly keyPem: string }) | undefined;
}

/** A supplied authority, checked; undefined when none was supplied. */
export function readAuthority(row: AuthorityRow, supplied: SuppliedPki, now: Date): ReadAuthority | undefined {
  const field = `${row.name}-crt` as const;
  const keyField = `${row.name}-key` as const;
  const pem = supplied[field] ?? "";
  const keyPem = supplied[keyField] ?? "";
  if (pem === "") {
    if (keyPem === "") return undefined;
    throw new AppError(
      "invalid",
      `cannot use ${keyField}: ${row.title} key is set without a certificate, fail to prevent causing issues`,
      { field: keyField, remedy: `Supply ${field} too, or leave both out to have them made.` },
    );
  }
  const trusted = readCertificates(pem, field);
  const [certificate] = trusted;
  const problem = dateProblem(certificate, now);
  if (problem !== undefined)
    throw invalidCertificate(field, row.title, problem, "Supply an authority that is valid now.");
  if (!maySignCertificates(certificate)) {
    const remedy = "Supply a certificate with basicConstraints CA:TRUE and the key usage keyCertSign.";
    throw invalidCertificate(field, row.title, "it may not sign certificates", remedy);
  }
  if (keyPem === "") return { pem, trusted, signer: undefined };
  const privateKey = readPrivateKey(keyPem, keyField);
  if (!matchesKey(certificate, privateKey)) throw keyMismatch(field, keyField);
  return { pem, trusted, signer: { certificate, privateKey, keyPem: privateKeyPem(privateKey) } };
}

export interface PairContext {
  readonly node: NodeIdentity;
  /** The authority's certificates; undefined for a certificate that is its own issuer. */
  readonly trusted: readonly X509Certificate[] | undefined;
  readonly now: Date;
}

/** A supplied certificate and key, checked; undefined when neither was supplied. */
export function checkPair(row: CertificateRow, supplied: SuppliedPki, context: PairContext): PemPair | undefined {
  const field = `${row.name}-crt` as const;
  const keyField = `${row.name}-key` as const;
  const certificate = supplied[field] ?? "";
  const key = supplied[keyField] ?? "";
  if (certificate === "" && key === "") return undefined;
  if (certificate === "") throw halfPair(keyField, field);
  if (key === "") throw halfPair(field, keyField);
  const [leaf, ...intermediates] = readCertificates(certificate, field);
  const privateKey = readPrivateKey(key, keyField);
  if (!matchesKey(leaf, privateKey)) throw keyMismatch(field, keyField);
  const found = pairProblem(row, leaf, intermediates, context);
  if (found !== undefined) throw invalidCertificate(field, row.title, found.reason, found.remedy);
  return { certificate, key: privateKeyPem(privateKey) };
}

interface Problem {
  readonly reason: string;
  readonly remedy: string;
}

function pairProblem(
  row: CertificateRow,
  leaf: X509Certificate,
  intermediates: readonly X509Certificate[],
  { node, trusted, now }: PairContext,
): Problem | undefined {
  const date = dateProblem(leaf, now);
  if (date !== undefined) return { reason: date, remedy: "Supply a certificate that is valid now." };
  if (trusted !== undefined && !chainsTo(leaf, intermediates, trusted, now)) {
    const reason = `it is not signed by ${row.issuer}-crt`;
    return { reason, remedy: `Supply a certificate signed by ${row.issuer}-crt, with its intermediates after it.` };
  }
  const usage = missingUsage(leaf, row.suppliedUsages ?? row.usages);
  if (usage !== undefined) {
    const reason = `its extended key usage does not allow ${usage}Auth`;
    return { reason, remedy: `Supply a certificate with the extended key usage ${usage}Auth.` };
  }
  const missing = row.missingName?.(leaf, node);
  if (missing !== undefined) {
    const reason = `it is not valid for ${missing}`;
    return { reason, remedy: `Supply a certificate whose subject alternative names hold ${missing}.` };
  }
  const wanted = row.subject(node);
  if (row.subjectMatters === true && !sameSubject(leaf, wanted)) {
    const text = subjectText(wanted);
    return { reason: `its subject is not ${text}`, remedy: `Supply a certificate with the subject ${text}.` };
  }
  return undefined;
}

/** The client certificate towards an external datastore; its authority need not be the one of the servers. */
export function checkExternalDatastore(supplied: EtcdAccess, now: Date): void {
  const authority = supplied["datastore-ca-crt"] ?? "";
  const certificate = supplied["datastore-client-crt"] ?? "";
  const key = supplied["datastore-client-key"] ?? "";
  const title = "external datastore";
  if (authority !== "") {
    const problem = dateProblem(readCertificates(authority, "datastore-ca-crt")[0], now);
    if (problem !== undefined)
      throw invalidCertificate("datastore-ca-crt", title, problem, "Supply an authority that is valid now.");
  }
  if (certificate === "" && key === "") return;
  if (key === "") throw externalHalf("certificate set without a key", "datastore-client-crt", "datastore-client-key");
  if (certificate === "")
    throw externalHalf("key set without a certificate", "datastore-client-key", "datastore-client-crt");
  const [leaf] = readCertificates(certificate, "datastore-client-crt");
  if (!matchesKey(leaf, readPrivateKey(key, "datastore-client-key")))
    throw keyMismatch("datastore-client-crt", "datastore-client-key");
  const problem =
    dateProblem(leaf, now) ??
    (missingUsage(leaf, ["client"]) === undefined ? undefined : "its extended key usage does not allow clientAuth");
  if (problem !== undefined)
    throw invalidCertificate("datastore-client-crt", title, problem, "Supply a client certificate that is valid now.");
}

function externalHalf(what: string, field: string, other: string): AppError {
  return new AppError("invalid", `cannot use ${field}: external datastore ${what}, both are needed`, {
    field,
    remedy: `Supply ${other} too, or leave both out.`,
  });
}

function halfPair(field: string, other: string): AppError {
  return new AppError("invalid", `cannot use ${field}: it is set without ${other}`, {
    field,
    remedy: `Supply ${other} too, or leave both out to have them made.`,
  });
}

function keyMismatch(field: string, keyField: string): AppError {
  return new AppError("invalid", `cannot use ${keyField}: it is not the key of the certificate in ${field}`, {
    field: keyField,
    remedy: `Supply the private key that ${field} was issued for.`,
  });
}

/** Compares what grants access, the common name and the organizations, in whichever order and encoding they stand. */
/** Whom it makes somebody in Kubernetes; a UID is what only k8sd gives. */
function sameSubject(certificate: X509Certificate, { commonName, organization }: Subject): boolean {
  const wanted = { commonName, ...(organization === undefined ? {} : { organization }) };
  if (toDer(tbsFields(certificate).subject).equals(toDer(distinguishedName(wanted)))) return true;
  const subject = certificate.toLegacyObject().subject as { readonly CN?: unknown; readonly O?: unknown };
  const organizations = [subject.O ?? []].flat();
  return subject.CN === commonName && (organization === undefined || organizations.includes(organization));
}

function subjectText(subject: Subject): string {
  return subject.organization === undefined
    ? `CN=${subject.commonName}`
    : `O=${subject.organization}, CN=${subject.commonName}`;
}
