import { X509Certificate } from "node:crypto";
import { AppError } from "../lib/app-error.ts";
import { type Asn1, bytesOf, contextParts, fromDer, isContext, octetsOf, oidOf, sequenceParts } from "./asn1.ts";
import { maxPemBytes } from "./keys.ts";
import { ipText, type SubjectAltNames } from "./names.ts";
import { pemDecode, pemEncode } from "./pem.ts";

export const extensionOid = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
} as const;

/** No chain in use is longer; more in one value is a mistake or an attack. */
const maxCertificates = 16;

/**
 * Reads every certificate of a PEM text, at least one.
 * @param field the configuration key the PEM came from
 */
export function readCertificates(pem: string, field: string): readonly [X509Certificate, ...X509Certificate[]] {
  const blocks = pem.length > maxPemBytes ? [] : pemDecode("CERTIFICATE", pem);
  const invalid = (reason: string, cause?: unknown): AppError =>
    new AppError("invalid", `cannot use ${field}: ${reason}`, {
      field,
      remedy: "Give the certificate in PEM form, with any intermediate certificates after it.",
      cause,
    });
  if (blocks.length > maxCertificates) throw invalid(`it holds more than ${maxCertificates} certificates`);
  try {
    const [first, ...rest] = blocks.map((block) => new X509Certificate(pemEncode("CERTIFICATE", block)));
    if (first !== undefined) return [first, ...rest];
  } catch (cause) {
    throw invalid("it is not a certificate that can be read", cause);
  }
  throw invalid(
    pem.length > maxPemBytes ? `it is longer than ${maxPemBytes} bytes` : "it holds no certificate in PEM form",
  );
}

/** The parts of a certificate that Node does not show, or not as they stand in it. */
export function tbsFields(certificate: X509Certificate): {
  readonly subject: Asn1;
  readonly extensions: readonly Asn1[];
} {
  const [tbs] = sequenceParts(fromDer(certificate.raw));
  const fields = tbs === undefined ? [] : sequenceParts(tbs);
  // The version, [0], is absent in version 1 certificates.
  const subject = fields[isContext(fields[0], 0) ? 5 : 4];
  if (subject === undefined) throw new RangeError("the certificate has no subject");
  const wrapper = fields.find((field) => isContext(field, 3));
  const list = wrapper === undefined ? undefined : contextParts(wrapper, 3)[0];
  return { subject, extensions: list === undefined ? [] : sequenceParts(list) };
}

/** What is inside an extension, or undefined when the certificate does not have it. */
export function extensionValue(certificate: X509Certificate, id: string): Asn1 | undefined {
  return findExtension(tbsFields(certificate).extensions, id);
}

export function findExtension(extensions: readonly Asn1[], id: string): Asn1 | undefined {
  for (const extension of extensions) {
    const parts = sequenceParts(extension);
    const [name] = parts;
    const value = parts.at(-1);
    if (name !== undefined && value !== undefined && oidOf(name) === id) return fromDer(octetsOf(value));
  }
  return undefined;
}

/** The names and addresses of a certificate; other kinds of names (mail, URI) are left out. */
export function namesOf(certificate: X509Certificate): SubjectAltNames {
  return readGeneralNames(extensionValue(certificate, extensionOid.subjectAltName));
}

export function readGeneralNames(value: Asn1 | undefined): SubjectAltNames {
  const names = value === undefined ? [] : sequenceParts(value);
  return {
    dns: names.filter((name) => isContext(name, 2)).map((name) => bytesOf(name).toString("latin1").toLowerCase()),
    ip: names.filter((name) => isContext(name, 7)).map((name) => ipText(bytesOf(name))),
  };
}

/** True when the key usage allows signing certificates; a certificate without the extension may do everything. */
export function maySignCertificates(certificate: X509Certificate): boolean {
  if (!certificate.ca) return false;
  const usage = extensionValue(certificate, extensionOid.keyUsage);
  return usage === undefined || ((bytesOf(usage)[1] ?? 0) & 0b0000_0100) !== 0;
}
