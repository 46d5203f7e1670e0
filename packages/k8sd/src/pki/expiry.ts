import { createHash, timingSafeEqual, type X509Certificate } from "node:crypto";
import { namesOf, readCertificates } from "./x509.ts";

export interface CertificateFacts {
  readonly commonName: string;
  readonly issuerCommonName: string;
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly isAuthority: boolean;
  /** SHA-256 of the DER, lower case hex. */
  readonly fingerprint: string;
}

/** What people and renewal want to know of the first certificate in a PEM text. */
export function readFacts(pem: string, field: string): CertificateFacts {
  const [certificate] = readCertificates(pem, field);
  return {
    commonName: commonNameIn(certificate.subject),
    issuerCommonName: commonNameIn(certificate.issuer),
    ...namesOf(certificate),
    notBefore: certificate.validFromDate,
    notAfter: certificate.validToDate,
    isAuthority: certificate.ca,
    fingerprint: fingerprintOf(certificate),
  };
}

/** When half of the certificate's life is over, which is when it is renewed. */
export function renewalTime(facts: Pick<CertificateFacts, "notBefore" | "notAfter">): Date {
  return new Date((facts.notBefore.getTime() + facts.notAfter.getTime()) / 2);
}

/** SHA-256 of the DER in lower case hex: how nodes pin each other. */
export function fingerprint(pem: string): string {
  return fingerprintOf(readCertificates(pem, "certificate")[0]);
}

export function fingerprintOf(certificate: Pick<X509Certificate, "raw">): string {
  return createHash("sha256").update(certificate.raw).digest("hex");
}

/** Equality of secrets and fingerprints in a time that tells nothing about where they differ. */
export function constantTimeEqual(left: string, right: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text, "utf8").digest();
  return timingSafeEqual(digest(left), digest(right));
}

/** Node prints one attribute per line. */
function commonNameIn(name: string | undefined): string {
  return /^CN=(.*)$/m.exec(name ?? "")?.[1] ?? "";
}
