import { createPublicKey, type KeyObject } from "node:crypto";
import { AppError } from "../lib/app-error.ts";
import {
  type Asn1,
  bitString,
  bitsOf,
  bytesOf,
  context,
  contextParts,
  fromDer,
  isContext,
  octetString,
  oid,
  oidOf,
  sequence,
  sequenceParts,
  set,
  setParts,
  toDer,
  unsignedInteger,
} from "./asn1.ts";
import { keyWeakness, maxPemBytes, signatureAlgorithm, signWith, spkiOf, verifySignature } from "./keys.ts";
import { distinguishedName, generalNames, type Subject, type SubjectAltNames } from "./names.ts";
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
      : [sequence(oid(extensionOid.subjectAltName), octetString(toDer(generalNames(names))))];
  const attributes = extensions.length === 0 ? [] : [sequence(oid(extensionRequest), set(sequence(...extensions)))];
  const info = sequence(
    unsignedInteger(Buffer.from([0])),
    distinguishedName(subject),
    fromDer(spkiOf(privateKey)),
    context(0, attributes),
  );
  const signature = bitString(signWith(privateKey, toDer(info)));
  return pemEncode(label, toDer(sequence(info, signatureAlgorithm(privateKey), signature)));
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
  const request = fromDer(body);
  // The signature is checked over what is written anew, which is what was signed only if there is one way to write it.
  if (!toDer(request).equals(body)) throw invalidCsr("it is not DER");
  const [info, algorithm, signature] = sequenceParts(request);
  const [, subject, spki, attributes] = info === undefined ? [] : sequenceParts(info);
  const algorithmId = algorithm === undefined ? undefined : sequenceParts(algorithm)[0];
  if (info === undefined || subject === undefined || spki === undefined || algorithmId === undefined)
    throw invalidCsr("parts are missing");
  if (signature === undefined) throw invalidCsr("it is not signed");
  const publicKey = createPublicKey({ key: toDer(spki), format: "der", type: "spki" });
  const weakness = keyWeakness(publicKey);
  if (weakness !== undefined) throw invalidCsr(weakness);
  if (!verifySignature(oidOf(algorithmId), publicKey, toDer(info), bitsOf(signature)))
    throw invalidCsr("its signature does not match its key");
  const alternative = findExtension(requestedExtensions(attributes), extensionOid.subjectAltName);
  const names = readGeneralNames(alternative);
  const count = alternative === undefined ? 0 : sequenceParts(alternative).length;
  return {
    commonName: attributesOf(subject, commonNameOid).at(-1) ?? "",
    organizations: attributesOf(subject, organizationOid),
    names,
    otherNames: count !== names.dns.length + names.ip.length,
    publicKey,
  };
}

function requestedExtensions(attributes: Asn1 | undefined): readonly Asn1[] {
  if (!isContext(attributes, 0)) return [];
  for (const attribute of contextParts(attributes, 0)) {
    const [id, values] = sequenceParts(attribute);
    if (id === undefined || values === undefined || oidOf(id) !== extensionRequest) continue;
    const list = setParts(values)[0];
    return list === undefined ? [] : sequenceParts(list);
  }
  return [];
}

function attributesOf(name: Asn1, type: string): readonly string[] {
  return sequenceParts(name)
    .flatMap(setParts)
    .flatMap((attribute) => {
      const [id, value] = sequenceParts(attribute);
      return id !== undefined && value !== undefined && oidOf(id) === type ? [bytesOf(value).toString("utf8")] : [];
    });
}

function invalidCsr(reason: string, cause?: unknown): AppError {
  return new AppError("invalid", `cannot use the certificate request: ${reason}`, { cause });
}
