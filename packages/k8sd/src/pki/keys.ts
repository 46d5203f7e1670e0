import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { AppError } from "../lib/app-error.ts";
import { type Asn1, asn1Null, oid, sequence } from "./asn1.ts";

/** Larger than any key or chain of certificates in use, small enough to refuse what is not one. */
export const maxPemBytes = 64 * 1024;

/** A new P-256 key: generated in well under a millisecond, read by everything Kubernetes is made of. */
export function generateKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;
}

/**
 * The form in which every component reads the key. EC keys are SEC1 ("EC PRIVATE KEY"), not PKCS#8, because
 * kube-apiserver takes the public half of an EC service-account key from a private key file in that form only.
 */
export function privateKeyPem(key: KeyObject): string {
  const type = key.asymmetricKeyType === "ec" ? "sec1" : key.asymmetricKeyType === "rsa" ? "pkcs1" : "pkcs8";
  return key.export({ type, format: "pem" }).toString();
}

/**
 * Reads an unencrypted private key: RSA of 2048 bits or more, EC P-256/P-384/P-521 or Ed25519, in PKCS#1, SEC1 or PKCS#8.
 * @param field the configuration key the PEM came from
 */
export function readPrivateKey(pem: string, field: string): KeyObject {
  if (pem.length > maxPemBytes) throw invalidKey(field, `it is longer than ${maxPemBytes} bytes`);
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    const encrypted = pem.includes("ENCRYPTED");
    throw invalidKey(field, encrypted ? "it is encrypted" : "it is not a private key in PEM form", cause);
  }
  const weakness = keyWeakness(key);
  if (weakness !== undefined) throw invalidKey(field, weakness);
  return key;
}

/** Why components of Kubernetes or TLS libraries would not take this key, or undefined when they do. */
export function keyWeakness(key: KeyObject): string | undefined {
  const details = key.asymmetricKeyDetails;
  switch (key.asymmetricKeyType) {
    case "rsa":
      return (details?.modulusLength ?? 0) < 2048 ? "an RSA key needs at least 2048 bits" : undefined;
    case "ec":
      return details?.namedCurve !== undefined && details.namedCurve in ecdsaAlgorithms
        ? undefined
        : `the curve ${details?.namedCurve ?? "of the key"} is not supported`;
    case "ed25519":
      return undefined;
    default:
      return `keys of type ${key.asymmetricKeyType ?? "unknown"} are not supported`;
  }
}

export function publicKeyOf(privateKey: KeyObject): KeyObject {
  return createPublicKey(privateKey);
}

/** SubjectPublicKeyInfo in DER. */
export function spkiOf(key: KeyObject): Buffer {
  return (key.type === "private" ? publicKeyOf(key) : key).export({ type: "spki", format: "der" });
}

/** SHA-256 of SubjectPublicKeyInfo in lower case hex: how a key is called by those who hold only its public half. */
export function keyFingerprint(key: KeyObject): string {
  return createHash("sha256").update(spkiOf(key)).digest("hex");
}

interface SignatureAlgorithm {
  readonly identifier: Asn1;
  /** undefined for Ed25519, which hashes by itself. */
  readonly hash: string | undefined;
}

const rsaWithSha256: SignatureAlgorithm = {
  identifier: sequence(oid("1.2.840.113549.1.1.11"), asn1Null),
  hash: "sha256",
};
const ed25519: SignatureAlgorithm = { identifier: sequence(oid("1.3.101.112")), hash: undefined };
const ecdsaAlgorithms: Readonly<Record<string, SignatureAlgorithm>> = {
  prime256v1: { identifier: sequence(oid("1.2.840.10045.4.3.2")), hash: "sha256" },
  secp384r1: { identifier: sequence(oid("1.2.840.10045.4.3.3")), hash: "sha384" },
  secp521r1: { identifier: sequence(oid("1.2.840.10045.4.3.4")), hash: "sha512" },
};
/** What others may have signed their requests with: every hash of at least 256 bits. */
const acceptedHashes: Readonly<Record<string, string | undefined>> = {
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512",
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.10045.4.3.4": "sha512",
};
const ed25519Oid = "1.3.101.112";

/** The AlgorithmIdentifier under which `key` signs. */
export function signatureAlgorithm(key: KeyObject): Asn1 {
  return algorithmFor(key).identifier;
}

export function signWith(key: KeyObject, data: Buffer): Buffer {
  return sign(algorithmFor(key).hash, data, key);
}

/** False also for algorithms nobody should use any more. */
export function verifySignature(algorithmOid: string, publicKey: KeyObject, data: Buffer, signature: Buffer): boolean {
  if (algorithmOid === ed25519Oid)
    return publicKey.asymmetricKeyType === "ed25519" && verify(undefined, data, publicKey, signature);
  const hash = acceptedHashes[algorithmOid];
  return hash !== undefined && verify(hash, data, publicKey, signature);
}

function algorithmFor(key: KeyObject): SignatureAlgorithm {
  if (key.asymmetricKeyType === "rsa") return rsaWithSha256;
  if (key.asymmetricKeyType === "ed25519") return ed25519;
  const algorithm = ecdsaAlgorithms[key.asymmetricKeyDetails?.namedCurve ?? ""];
  if (algorithm === undefined) throw new AppError("invalid", `cannot sign: ${keyWeakness(key) ?? "unknown key type"}`);
  return algorithm;
}

function invalidKey(field: string, reason: string, cause?: unknown): AppError {
  return new AppError("invalid", `cannot use ${field}: ${reason}`, {
    field,
    remedy: "Give an unencrypted PEM private key: RSA (2048 bits or more), EC (P-256, P-384, P-521) or Ed25519.",
    cause,
  });
}
