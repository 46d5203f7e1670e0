import { X509Certificate } from "node:crypto";
import { AppError } from "../lib/app-error.ts";
import { children, contextTag, type DerNode, readDer, readOid, tag } from "./der.ts";
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

/** The parts of a certificate that are copied into others byte by byte. */
export function tbsFields(certificate: X509Certificate): {
  readonly subject: DerNode;
  readonly extensions: readonly DerNode[];
} {
  const tbs = children(readDer(certificate.raw))[0];
  const fields = tbs === undefined ? [] : children(tbs);
  // The version, [0], is absent in version 1 certificates.
  const subject = fields[fields[0]?.tag === contextTag(0, true) ? 5 : 4];
  if (subject === undefined) throw new RangeError("the certificate has no subject");
  const wrapper = fields.find((field) => field.tag === contextTag(3, true));
  const list = wrapper === undefined ? undefined : children(wrapper, wrapper.tag)[0];
  return { subject, extensions: list === undefined ? [] : children(list) };
}

/** The DER inside an extension, or undefined when the certificate does not have it. */
export function extensionValue(certificate: X509Certificate, id: string): Buffer | undefined {
  return findExtension(tbsFields(certificate).extensions, id);
}

export function findExtension(extensions: readonly DerNode[], id: string): Buffer | undefined {
  for (const extension of extensions) {
    const parts = children(extension);
    const [name] = parts;
    const value = parts.at(-1);
    if (name !== undefined && value?.tag === tag.octetString && readOid(name) === id) return value.content;
  }
  return undefined;
}

/** The names and addresses of a certificate; other kinds of names (mail, URI) are left out. */
export function namesOf(certificate: X509Certificate): SubjectAltNames {
  return readGeneralNames(extensionValue(certificate, extensionOid.subjectAltName));
}

export function readGeneralNames(value: Buffer | undefined): SubjectAltNames {
  const names = value === undefined ? [] : children(readDer(value));
  return {
    dns: names
      .filter((name) => name.tag === contextTag(2, false))
      .map((name) => name.content.toString("latin1").toLowerCase()),
    ip: names.filter((name) => name.tag === contextTag(7, false)).map((name) => ipText(name.content)),
  };
}

/** True when the key usage allows signing certificates; a certificate without the extension may do everything. */
export function maySignCertificates(certificate: X509Certificate): boolean {
  const value = extensionValue(certificate, extensionOid.keyUsage);
  if (value === undefined) return certificate.ca;
  const bits = readDer(value).content[1] ?? 0;
  return certificate.ca && (bits & 0b0000_0100) !== 0;
}
