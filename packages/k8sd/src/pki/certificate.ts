import { createHash, type KeyObject, randomBytes, type X509Certificate } from "node:crypto";
import { AppError } from "../lib/app-error.ts";
import {
  bitString,
  children,
  contextTag,
  der,
  derTrue,
  octetString,
  oid,
  readDer,
  sequence,
  time,
  unsignedInteger,
} from "./der.ts";
import { signatureAlgorithm, signWith, spkiOf } from "./keys.ts";
import { generalNames, nameDer, type Subject, type SubjectAltNames } from "./names.ts";
import { pemEncode } from "./pem.ts";
import { extensionOid, extensionValue, tbsFields } from "./x509.ts";

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

/** Signs a certificate with the authority's key. It never outlives the authority. */
export function issueCertificate(template: CertificateTemplate, issuer: Authority): string {
  const end = Math.min(template.now.getTime() + template.lifetimeMs, issuer.certificate.validToDate.getTime());
  if (end - template.now.getTime() < minLifetimeMs) {
    throw new AppError(
      "invalid",
      `cannot issue the certificate of ${template.subject.commonName}: it would end at ${new Date(end).toISOString()}, less than 10 minutes from now`,
      { remedy: "Ask for a longer life, or renew the certificate authority if it is about to end." },
    );
  }
  const issuerFields = tbsFields(issuer.certificate);
  const keyId = extensionValue(issuer.certificate, extensionOid.subjectKeyIdentifier);
  return build(template, new Date(end), {
    name: issuerFields.subject.raw,
    privateKey: issuer.privateKey,
    keyId: keyId === undefined ? undefined : readDer(keyId).content,
  });
}

/** A certificate that is its own issuer: an authority, or an identity that others pin by its fingerprint. */
export function selfSign(template: Omit<CertificateTemplate, "publicKey">, privateKey: KeyObject): string {
  const end = new Date(template.now.getTime() + template.lifetimeMs);
  return build({ ...template, publicKey: privateKey }, end, {
    name: nameDer(template.subject),
    privateKey,
    keyId: keyIdentifier(spkiOf(privateKey)),
  });
}

interface Signer {
  readonly name: Buffer;
  readonly privateKey: KeyObject;
  readonly keyId: Buffer | undefined;
}

function build(template: CertificateTemplate, notAfter: Date, signer: Signer): string {
  const spki = spkiOf(template.publicKey);
  const algorithm = signatureAlgorithm(signer.privateKey);
  const tbs = sequence(
    der(contextTag(0, true), unsignedInteger(Buffer.from([2]))),
    unsignedInteger(serialNumber()),
    algorithm,
    signer.name,
    sequence(time(new Date(template.now.getTime() - backdateMs)), time(notAfter)),
    nameDer(template.subject),
    spki,
    der(contextTag(3, true), sequence(...extensions(template, spki, signer.keyId))),
  );
  const signature = signWith(signer.privateKey, tbs);
  return pemEncode("CERTIFICATE", sequence(tbs, algorithm, bitString(signature)));
}

/** 128 bits, of which the first is 0 and the second 1: positive and of constant length. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes.writeUInt8(((bytes[0] ?? 0) & 0x7f) | 0x40, 0);
  return bytes;
}

function extensions(template: CertificateTemplate, spki: Buffer, issuerKeyId: Buffer | undefined): Buffer[] {
  const critical = (id: string, value: Buffer): Buffer => sequence(oid(id), derTrue, octetString(value));
  const plain = (id: string, value: Buffer): Buffer => sequence(oid(id), octetString(value));
  const authority = template.usages === "authority";
  const list = [
    critical(extensionOid.basicConstraints, authority ? sequence(derTrue) : sequence()),
    critical(extensionOid.keyUsage, authority ? keyUsage.authority : leafKeyUsage(template.publicKey)),
  ];
  if (template.usages !== "authority")
    list.push(plain(extensionOid.extendedKeyUsage, sequence(...template.usages.map((usage) => oid(usageOid[usage])))));
  list.push(plain(extensionOid.subjectKeyIdentifier, octetString(keyIdentifier(spki))));
  if (issuerKeyId !== undefined)
    list.push(plain(extensionOid.authorityKeyIdentifier, sequence(der(contextTag(0, false), issuerKeyId))));
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

function leafKeyUsage(key: KeyObject): Buffer {
  return key.asymmetricKeyType === "rsa" ? keyUsage.signatureAndEncipherment : keyUsage.signature;
}

/** RFC 7093 method 1: the first 160 bits of the SHA-256 of the key's bits. */
function keyIdentifier(spki: Buffer): Buffer {
  const bits = children(readDer(spki))[1];
  if (bits === undefined) throw new RangeError("the public key has no bits");
  return createHash("sha256").update(bits.content.subarray(1)).digest().subarray(0, 20);
}
