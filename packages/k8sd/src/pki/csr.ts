import { createPublicKey, type KeyObject } from "node:crypto";
import { AppError } from "../lib/app-error.ts";
import {
  bitString,
  children,
  contextTag,
  type DerNode,
  der,
  octetString,
  oid,
  readDer,
  readOid,
  sequence,
  set,
  tag,
  unsignedInteger,
} from "./der.ts";
import { keyWeakness, maxPemBytes, signatureAlgorithm, signWith, spkiOf, verifySignature } from "./keys.ts";
import { generalNames, nameDer, type Subject, type SubjectAltNames } from "./names.ts";
import { pemDecode, pemEncode } from "./pem.ts";
import { extensionOid, findExtension, readGeneralNames } from "./x509.ts";

export interface CertificateRequest {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly names: SubjectAltNames;
  /** Kinds of names that no certificate here carries (mail, URI): a reason to refuse. */
  readonly otherNames: boolean;
  readonly publicKey: KeyObject;
}

const label = "CERTIFICATE REQUEST";
const extensionRequest = "1.2.840.113549.1.9.14";
const commonNameOid = "2.5.4.3";
const organizationOid = "2.5.4.10";

/** A PKCS#10 request in PEM, signed with the key it asks a certificate for. */
export function createCsr(subject: Subject, names: SubjectAltNames, privateKey: KeyObject): string {
  const extensions =
    names.dns.length + names.ip.length === 0
      ? []
      : [sequence(oid(extensionOid.subjectAltName), octetString(generalNames(names)))];
  const attributes = extensions.length === 0 ? [] : [sequence(oid(extensionRequest), set(sequence(...extensions)))];
  const info = sequence(
    unsignedInteger(Buffer.from([0])),
    nameDer(subject),
    spkiOf(privateKey),
    der(contextTag(0, true), ...attributes),
  );
  return pemEncode(label, sequence(info, signatureAlgorithm(privateKey), bitString(signWith(privateKey, info))));
}

/** Reads a request and checks that its sender holds the private key. */
export function parseCsr(pem: string): CertificateRequest {
  if (pem.length > maxPemBytes) throw invalidCsr(`it is longer than ${maxPemBytes} bytes`);
  const [body, ...more] = pemDecode(label, pem);
  if (body === undefined || more.length > 0) throw invalidCsr("it is not exactly one request in PEM form");
  try {
    return read(body);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw invalidCsr("it is not a PKCS#10 request", cause);
  }
}

function read(body: Buffer): CertificateRequest {
  const [info, algorithm, signature] = children(readDer(body));
  const [, subject, spki, attributes] = info === undefined ? [] : children(info);
  const algorithmId = algorithm === undefined ? undefined : children(algorithm)[0];
  if (info === undefined || subject === undefined || spki === undefined || algorithmId === undefined)
    throw invalidCsr("parts are missing");
  if (signature?.tag !== tag.bitString || signature.content[0] !== 0) throw invalidCsr("its signature is not readable");
  const publicKey = createPublicKey({ key: spki.raw, format: "der", type: "spki" });
  const weakness = keyWeakness(publicKey);
  if (weakness !== undefined) throw invalidCsr(weakness);
  if (!verifySignature(readOid(algorithmId), publicKey, info.raw, signature.content.subarray(1)))
    throw invalidCsr("its signature does not match its key");
  const alternative = findExtension(requestedExtensions(attributes), extensionOid.subjectAltName);
  const names = readGeneralNames(alternative);
  const count = alternative === undefined ? 0 : children(readDer(alternative)).length;
  return {
    commonName: attributesOf(subject, commonNameOid).at(-1) ?? "",
    organizations: attributesOf(subject, organizationOid),
    names,
    otherNames: count !== names.dns.length + names.ip.length,
    publicKey,
  };
}

function requestedExtensions(attributes: DerNode | undefined): readonly DerNode[] {
  if (attributes?.tag !== contextTag(0, true)) return [];
  for (const attribute of children(attributes, attributes.tag)) {
    const [id, values] = children(attribute);
    if (id === undefined || values === undefined || readOid(id) !== extensionRequest) continue;
    const list = children(values, tag.set)[0];
    return list === undefined ? [] : children(list);
  }
  return [];
}

function attributesOf(name: DerNode, type: string): readonly string[] {
  return children(name)
    .flatMap((part) => children(part, tag.set))
    .flatMap((attribute) => {
      const [id, value] = children(attribute);
      return id !== undefined && value !== undefined && readOid(id) === type ? [value.content.toString("utf8")] : [];
    });
}

function invalidCsr(reason: string, cause?: unknown): AppError {
  return new AppError("invalid", `cannot use the certificate request: ${reason}`, { cause });
}
