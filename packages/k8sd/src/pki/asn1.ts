import type { asn1 as forge } from "node-forge";
// The ASN.1 part alone: the whole package takes eight times as long to load and three times the memory.
import asn1 from "node-forge/lib/asn1.js";

export type Asn1 = forge.Asn1;

const { Class, Type } = asn1;
/** No certificate and no request is nested deeper; more is a mistake or an attack. */
const maxDepth = 16;

const primitive = (type: forge.Type, bytes: string): Asn1 => asn1.create(Class.UNIVERSAL, type, false, bytes);

export const sequence = (...parts: Asn1[]): Asn1 => asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, parts);
export const set = (...parts: Asn1[]): Asn1 => asn1.create(Class.UNIVERSAL, Type.SET, true, parts);
/** `[number]` in the ASN.1 notation of the RFCs: around other values, or with the bytes themselves. */
export const context = (number: number, content: Asn1[] | Uint8Array): Asn1 =>
  Array.isArray(content)
    ? asn1.create(Class.CONTEXT_SPECIFIC, number, true, content)
    : asn1.create(Class.CONTEXT_SPECIFIC, number, false, binary(content));

export const oid = (dotted: string): Asn1 => primitive(Type.OID, asn1.oidToDer(dotted).getBytes());
export const octetString = (bytes: Uint8Array): Asn1 => primitive(Type.OCTETSTRING, binary(bytes));
export const utf8String = (text: string): Asn1 => primitive(Type.UTF8, binary(Buffer.from(text, "utf8")));
/** A number that is not negative, from its big-endian bytes without leading zeros. */
export const unsignedInteger = (bytes: Uint8Array): Asn1 => primitive(Type.INTEGER, `\0${binary(bytes)}`);
/** Bits of whole bytes (keys, signatures), or of named flags with the unused bits at the end counted. */
export const bitString = (bytes: Uint8Array, unusedBits = 0): Asn1 =>
  primitive(Type.BITSTRING, String.fromCharCode(unusedBits) + binary(bytes));
export const asn1True: Asn1 = primitive(Type.BOOLEAN, "\xff");
export const asn1Null: Asn1 = primitive(Type.NULL, "");

/** RFC 5280 4.1.2.5: UTCTime up to 2049, GeneralizedTime from 2050 on. */
export function time(date: Date): Asn1 {
  return date.getUTCFullYear() < 2050
    ? primitive(Type.UTCTIME, asn1.dateToUtcTime(date))
    : primitive(Type.GENERALIZEDTIME, asn1.dateToGeneralizedTime(date));
}

export function toDer(value: Asn1): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), "latin1");
}

/** Reads exactly one value that fills the input. Throws for anything else: the input may come from a stranger. */
export function fromDer(der: Buffer): Asn1 {
  return asn1.fromDer(der.toString("latin1"), { decodeBitStrings: false, maxDepth });
}

export function isContext(value: Asn1 | undefined, number: number): value is Asn1 {
  return value?.tagClass === Class.CONTEXT_SPECIFIC && value.type === number;
}

/** The values inside a SEQUENCE, in order. */
export const sequenceParts = (value: Asn1): readonly Asn1[] => parts(value, Class.UNIVERSAL, Type.SEQUENCE);
export const setParts = (value: Asn1): readonly Asn1[] => parts(value, Class.UNIVERSAL, Type.SET);
export const contextParts = (value: Asn1, number: number): readonly Asn1[] =>
  parts(value, Class.CONTEXT_SPECIFIC, number);

function parts(value: Asn1, tagClass: forge.Class, type: forge.Type): readonly Asn1[] {
  if (value.tagClass !== tagClass || value.type !== type || typeof value.value === "string")
    throw new RangeError("another ASN.1 value was expected");
  return value.value;
}

/** The content of a value that holds no others. */
export function bytesOf(value: Asn1): Buffer {
  // A BMPString is the one type that is read as text, of 16 bits a letter.
  if (typeof value.value !== "string" || value.type === Type.BMPSTRING)
    throw new RangeError("another ASN.1 value was expected");
  return Buffer.from(value.value, "latin1");
}

export const octetsOf = (value: Asn1): Buffer => typed(value, Type.OCTETSTRING);

/** The bits of a BIT STRING of whole bytes. */
export function bitsOf(value: Asn1): Buffer {
  const bytes = typed(value, Type.BITSTRING);
  if (bytes[0] !== 0) throw new RangeError("whole bytes were expected");
  return bytes.subarray(1);
}

export function oidOf(value: Asn1): string {
  const bytes = typed(value, Type.OID);
  if (bytes.length === 0) throw new RangeError("an object identifier was expected");
  return asn1.derToOid(bytes.toString("latin1"));
}

function typed(value: Asn1, type: forge.Type): Buffer {
  if (value.tagClass !== Class.UNIVERSAL || value.type !== type)
    throw new RangeError("another ASN.1 value was expected");
  return bytesOf(value);
}

function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
