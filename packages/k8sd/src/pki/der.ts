/** The few DER types that certificates and certificate requests are made of. */
export const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** A context-specific tag: `[number]` in the ASN.1 notation of the RFCs. */
export function contextTag(number: number, constructed: boolean): number {
  return 0x80 | (constructed ? 0x20 : 0) | number;
}

export function der(tagByte: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  return Buffer.concat([Buffer.from([tagByte]), lengthBytes(body.length), body]);
}

export const sequence = (...content: readonly Uint8Array[]): Buffer => der(tag.sequence, ...content);
export const set = (...content: readonly Uint8Array[]): Buffer => der(tag.set, ...content);
export const octetString = (content: Uint8Array): Buffer => der(tag.octetString, content);
export const utf8String = (text: string): Buffer => der(tag.utf8String, Buffer.from(text, "utf8"));
export const derTrue: Buffer = der(tag.boolean, Buffer.from([0xff]));

/** Bits of whole bytes (keys, signatures), or of named flags with the unused bits at the end counted. */
export const bitString = (content: Uint8Array, unusedBits = 0): Buffer =>
  der(tag.bitString, Buffer.from([unusedBits]), content);

/** A non-negative integer, from its big-endian bytes. */
export function unsignedInteger(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const trimmed = bytes.subarray(start);
  const needsZero = ((trimmed[0] ?? 0) & 0x80) !== 0;
  return der(tag.integer, ...(needsZero ? [Buffer.from([0])] : []), trimmed);
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return der(tag.oid, Buffer.from(bytes));
}

/** RFC 5280 4.1.2.5: UTCTime up to 2049, GeneralizedTime from 2050 on, both without fractions of a second. */
export function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, "");
  return date.getUTCFullYear() < 2050
    ? der(tag.utcTime, Buffer.from(digits.slice(2), "ascii"))
    : der(tag.generalizedTime, Buffer.from(digits, "ascii"));
}

export interface DerNode {
  readonly tag: number;
  /** The value alone. */
  readonly content: Buffer;
  /** Tag, length and value, as they stood in the input. */
  readonly raw: Buffer;
}

/** Reads exactly one value that fills the input. Throws RangeError for anything else: the input may come from a stranger. */
export function readDer(input: Buffer): DerNode {
  const node = readAt(input, 0);
  if (node.raw.length !== input.length) throw new RangeError("bytes after the end of the DER value");
  return node;
}

/** The values inside a SEQUENCE, or another constructed value that is expected, in order. */
export function children(node: DerNode, expected: number = tag.sequence): readonly DerNode[] {
  if (node.tag !== expected) throw new RangeError("another DER value was expected");
  const found: DerNode[] = [];
  for (let offset = 0; offset < node.content.length; ) {
    const child = readAt(node.content, offset);
    found.push(child);
    offset += child.raw.length;
  }
  return found;
}

export function readOid(node: DerNode): string {
  if (node.tag !== tag.oid || node.content.length === 0) throw new RangeError("an object identifier was expected");
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of node.content) {
    arc = arc * 128 + (byte & 0x7f);
    if (arc > Number.MAX_SAFE_INTEGER / 128) throw new RangeError("an object identifier is too large");
    if ((byte & 0x80) !== 0) continue;
    arcs.push(arc);
    arc = 0;
  }
  const [first = 0, ...rest] = arcs;
  const root = Math.min(Math.floor(first / 40), 2);
  return [root, first - root * 40, ...rest].join(".");
}

function readAt(input: Buffer, offset: number): DerNode {
  const tagByte = input[offset];
  const first = input[offset + 1];
  if (tagByte === undefined || first === undefined) throw new RangeError("the DER value is cut off");
  if ((tagByte & 0x1f) === 0x1f) throw new RangeError("DER tags of several bytes are not used here");
  let start = offset + 2;
  let length = first;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > 4) throw new RangeError("the DER length is not allowed");
    if (start + count > input.length) throw new RangeError("the DER value is cut off");
    length = input.readUIntBE(start, count);
    start += count;
  }
  const end = start + length;
  if (end > input.length) throw new RangeError("the DER value is cut off");
  return { tag: tagByte, content: input.subarray(start, end), raw: input.subarray(offset, end) };
}

function lengthBytes(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const bytes: number[] = [];
  for (let left = length; left > 0; left = Math.floor(left / 256)) bytes.unshift(left % 256);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
}
