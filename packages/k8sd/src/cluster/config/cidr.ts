import { isIP } from "node:net";

export interface Ip {
  readonly family: 4 | 6;
  readonly value: bigint;
}

export interface Cidr {
  readonly family: 4 | 6;
  readonly prefix: number;
  /** First and last address. */
  readonly first: bigint;
  readonly last: bigint;
  readonly text: string;
}

export function parseIp(text: string): Ip | undefined {
  const family = isIP(text);
  if (family === 4) return { family, value: toNumber(text.split(".").map(Number), 8n) };
  if (family === 6 && !text.includes("%")) return { family, value: toNumber(groupsOf(text), 16n) };
  return undefined;
}

export function parseCidr(text: string): Cidr | undefined {
  const [address = "", length = "", ...rest] = text.split("/");
  const ip = parseIp(address);
  if (ip === undefined || rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined;
  const bits = ip.family === 4 ? 32 : 128;
  const prefix = Number(length);
  if (prefix > bits) return undefined;
  const size = 1n << BigInt(bits - prefix);
  const first = (ip.value / size) * size;
  return { family: ip.family, prefix, first, last: first + size - 1n, text };
}

/** One CIDR, or one per family separated by a comma. Undefined in place of each part that is none. */
export function parseCidrs(text: string): readonly { readonly text: string; readonly cidr: Cidr | undefined }[] {
  return text.split(",").map((part) => ({ text: part.trim(), cidr: parseCidr(part.trim()) }));
}

/** Only the parts that are CIDRs. */
export function validCidrs(text: string): readonly Cidr[] {
  return parseCidrs(text).flatMap(({ cidr }) => cidr ?? []);
}

export function contains(cidr: Cidr, ip: Ip): boolean {
  return cidr.family === ip.family && cidr.first <= ip.value && ip.value <= cidr.last;
}

export function overlap(
  a: Pick<Cidr, "family" | "first" | "last">,
  b: Pick<Cidr, "family" | "first" | "last">,
): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

function toNumber(parts: readonly number[], width: bigint): bigint {
  return parts.reduce((value, part) => (value << width) | BigInt(part), 0n);
}

/** The eight groups of a valid IPv6 address. */
function groupsOf(text: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted !== null) {
    const [a, b, c, d] = dotted.slice(2).map(Number) as [number, number, number, number];
    return groupsOf(`${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`);
  }
  const [head = "", tail] = text.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
  const front = groups(head);
  if (tail === undefined) return front;
  const back = groups(tail);
  return [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back];
}
