import { createHash, type KeyObject, randomBytes, type X509Certificate } from "node:crypto";
import { AppError } from "../lib/app-error.ts";
import {
  type Asn1,
  asn1True,
  bitString,
  bitsOf,
  context,
  fromDer,
  octetString,
  octetsOf,
  oid,
  sequence,
  sequenceParts,
  time,
  toDer,
  unsignedInteger,
} from "./asn1.ts";
import { signatureAlgorithm, signWith, spkiOf } from "./keys.ts";
import { distinguishedName, generalNames, type Subject, type SubjectAltNames } from "./names.ts";
import { pemEncode } from "./pem.ts";
import { extensionOid, findExtension, tbsFields } from "./x509.ts";

export type Usage = "server" | "client";

export interface Authority {
  readonly certificate: X509Certificate;
  readonly privateKey: KeyObject;
}

export interface CertificateTemplate {
  readonly subject: Subject;
  readonly publicKey: KeyObject;
  readonly names: SubjectAltNames;
  /** "authority" makes a CA certificate. */
  readonly usages: readonly Usage[] | "authority";
  readonly lifetimeMs: number;
  readonly now: Date;
}

/** Clocks of nodes that join may be a little behind; a certificate must not be "not yet valid" there. */
export const backdateMs = 5 * 60_000;
/** The shortest life Kubernetes grants to a signing request; anything shorter is a mistake. */
export const minLifetimeMs = 10 * 60_000;

const usageOid: Readonly<Record<Usage, string>> = { server: "1.3.6.1.5.5.7.3.1", client: "1.3.6.1.5.5.7.3.2" };

/** What the certificates of an authority take from it; worth keeping when there are several to sign. */
export interface Issuer {
  readonly name: Asn1;
  readonly privateKey: KeyObject;
  /** Absent in authorities that do not name their key. */
  readonly keyId: Buffer | undefined;
  readonly notAfter: Date;
}

export function issuerOf({ certificate, privateKey }: Authority): Issuer {
  const { subject, extensions } = tbsFields(certificate);
  const keyId = findExtension(extensions, extensionOid.subjectKeyIdentifier);
  return {
    name: subject,
    privateKey,
    keyId: keyId === undefined ? undefined : octetsOf(keyId),
    notAfter: certificate.validToDate,
  };
}

/** When a certificate ends: it never outlives its authority. Throws when that is too soon to issue it. */
export function issuedUntil(commonName: string, lifetimeMs: number, authorityEnds: Date, now: Date): Date {
  const end = Math.min(now.getTime() + lifetimeMs, authorityEnds.getTime());
  if (end - now.getTime() >= minLifetimeMs) return new Date(end);
  throw new AppError(
    "invalid",
    `cannot issue the certificate of ${commonName}: it would end at ${new Date(end).toISOString()}, less than 10 minutes from now`,
    { remedy: "Ask for a longer life, or renew the certificate authority if it is about to end." },
  );
}

/** Signs a certificate with the authority's key. */
export function issueCertificate(template: CertificateTemplate, authority: Authority): string {
  return issueFrom(template, issuerOf(authority));
}

export function issueFrom(template: CertificateTemplate, issuer: Issuer): string {
  const { subject, lifetimeMs, now } = template;
  return build(
    template,
    fromDer(spkiOf(template.publicKey)),
    issuedUntil(subject.commonName, lifetimeMs, issuer.notAfter, now),
    issuer,
  );
}

/** A certificate that is its own issuer: an authority, or an identity that others pin by its fingerprint. */
export function selfSign(template: Omit<CertificateTemplate, "publicKey">, privateKey: KeyObject): string {
  return createAuthority(template, privateKey).pem;
}

/** A self-signed certificate, ready to sign others without being read again. */
export function createAuthority(
  template: Omit<CertificateTemplate, "publicKey">,
  privateKey: KeyObject,
): { readonly pem: string; readonly issuer: Issuer } {
  const notAfter = new Date(template.now.getTime() + template.lifetimeMs);
  const spki = fromDer(spkiOf(privateKey));
  const issuer = { name: distinguishedName(template.subject), privateKey, keyId: keyIdentifier(spki), notAfter };
  return { pem: build({ ...template, publicKey: privateKey }, spki, notAfter, issuer), issuer };
}

function build(template: CertificateTemplate, spki: Asn1, notAfter: Date, issuer: Issuer): string {
  const algorithm = signatureAlgorithm(issuer.privateKey);
  const tbs = sequence(
    context(0, [unsignedInteger(Buffer.from([2]))]),
    unsignedInteger(serialNumber()),
    algorithm,
    issuer.name,
    sequence(time(new Date(template.now.getTime() - backdateMs)), time(notAfter)),
    distinguishedName(template.subject),
    spki,
    context(3, [sequence(...extensions(template, spki, issuer.keyId))]),
  );
  const signature = signWith(issuer.privateKey, toDer(tbs));
  return pemEncode("CERTIFICATE", toDer(sequence(tbs, algorithm, bitString(signature))));
}

/** 128 bits, of which the first is 0 and the second 1: positive and of constant length. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes.writeUInt8(((bytes[0] ?? 0) & 0x7f) | 0x40, 0);
  return bytes;
}

function extensions(template: CertificateTemplate, spki: Asn1, issuerKeyId: Buffer | undefined): Asn1[] {
  const critical = (id: string, value: Asn1): Asn1 => sequence(oid(id), asn1True, octetString(toDer(value)));
  const plain = (id: string, value: Asn1): Asn1 => sequence(oid(id), octetString(toDer(value)));
  const authority = template.usages === "authority";
  const list = [
    critical(extensionOid.basicConstraints, authority ? sequence(asn1True) : sequence()),
    critical(extensionOid.keyUsage, authority ? keyUsage.authority : leafKeyUsage(template.publicKey)),
  ];
  if (template.usages !== "authority")
    list.push(plain(extensionOid.extendedKeyUsage, sequence(...template.usages.map((usage) => oid(usageOid[usage])))));
  list.push(plain(extensionOid.subjectKeyIdentifier, octetString(keyIdentifier(spki))));
  if (issuerKeyId !== undefined)
    list.push(plain(extensionOid.authorityKeyIdentifier, sequence(context(0, issuerKeyId))));
  if (template.names.dns.length + template.names.ip.length > 0)
    list.push(plain(extensionOid.subjectAltName, generalNames(template.names)));
  return list;
}

/** Named bits of RFC 5280 4.2.1.3, first bit first. */
const keyUsage = {
  authority: bitString(Buffer.from([0b1000_0110]), 1), // digitalSignature, keyCertSign, cRLSign
  signature: bitString(Buffer.from([0b1000_0000]), 7), // digitalSignature
  signatureAndEncipherment: bitString(Buffer.from([0b1010_0000]), 5), // and keyEncipherment, which only RSA can do
};

function leafKeyUsage(key: KeyObject): Asn1 {
  return key.asymmetricKeyType === "rsa" ? keyUsage.signatureAndEncipherment : keyUsage.signature;
}

/** RFC 7093 method 1: the first 160 bits of the SHA-256 of the key's bits. */
function keyIdentifier(spki: Asn1): Buffer {
  const bits = sequenceParts(spki)[1];
  if (bits === undefined) throw new RangeError("the public key has no bits");
  return createHash("sha256").update(bitsOf(bits)).digest().subarray(0, 20);
}
