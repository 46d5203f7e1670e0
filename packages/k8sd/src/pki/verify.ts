import type { KeyObject, X509Certificate } from "node:crypto";
import { AppError } from "../lib/app-error.ts";
import type { Usage } from "./certificate.ts";
import { maySignCertificates } from "./x509.ts";

/** How one certificate was found wanting: "… validation failure: <reason>". */
export function invalidCertificate(field: string, title: string, reason: string, remedy: string): AppError {
  return new AppError("invalid", `cannot use ${field}: ${title} certificate validation failure: ${reason}`, {
    field,
    remedy,
  });
}

/** undefined when the certificate is valid now, otherwise why it is not. */
export function dateProblem(certificate: X509Certificate, now: Date): string | undefined {
  if (certificate.validToDate <= now) return `it expired at ${certificate.validToDate.toISOString()}`;
  if (certificate.validFromDate > now) return `it is not valid before ${certificate.validFromDate.toISOString()}`;
  return undefined;
}

export function matchesKey(certificate: X509Certificate, privateKey: KeyObject): boolean {
  return certificate.checkPrivateKey(privateKey);
}

const usageOids: Readonly<Record<Usage, string>> = { server: "1.3.6.1.5.5.7.3.1", client: "1.3.6.1.5.5.7.3.2" };
const anyUsage = "2.5.29.37.0";

/** The first of the usages that the certificate does not allow. */
export function missingUsage(certificate: X509Certificate, usages: readonly Usage[]): Usage | undefined {
  // Absent means every usage. The type declarations promise an array; Node returns undefined then.
  const allowed = certificate.keyUsage as readonly string[] | undefined;
  if (allowed === undefined || allowed.includes(anyUsage)) return undefined;
  return usages.find((usage) => !allowed.includes(usageOids[usage]));
}

/** True when signatures lead from the leaf to one of the trusted certificates, each valid now. */
export function chainsTo(
  leaf: X509Certificate,
  intermediates: readonly X509Certificate[],
  trusted: readonly X509Certificate[],
  now: Date,
): boolean {
  let current = leaf;
  for (let depth = 0; depth <= intermediates.length; depth++) {
    const subject = current;
    const issued = (issuer: X509Certificate): boolean =>
      subject.checkIssued(issuer) && maySignCertificates(issuer) && subject.verify(issuer.publicKey);
    if (trusted.some(issued)) return true;
    const next = intermediates.find((issuer) => issued(issuer) && dateProblem(issuer, now) === undefined);
    if (next === undefined) return false;
    current = next;
  }
  return false;
}
