import { type Cidr, parseCidr } from "./cidr.ts";

/** Prefix length of what each node takes out of the pod range. */
export const nodePrefix = { 4: 24, 6: 120 } as const;

/** Address of the `kubernetes` Service: the first usable one of a Service range. */
export function firstServiceAddress(cidr: string): string {
  const range = known(cidr);
  return formatIp(range.first + 1n, range.family);
}

/** The part of a pod range that the node with this index hands out. A range smaller than such a part is handed out whole. */
export function nodeSubnet(podCidr: string, index: number): string {
  const range = known(podCidr);
  const prefix = Math.max(nodePrefix[range.family], range.prefix);
  const size = 1n << BigInt((range.family === 4 ? 32 : 128) - prefix);
  return `${formatIp(range.first + BigInt(index) * size, range.family)}/${prefix}`;
}

function known(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error(`${text} is not a CIDR; it should have been validated`);
  return cidr;
}

function formatIp(value: bigint, family: 4 | 6): string {
  const part = (width: bigint, index: number): bigint => (value >> (width * BigInt(index))) & ((1n << width) - 1n);
  if (family === 4) return [3, 2, 1, 0].map((index) => part(8n, index)).join(".");
  const groups = [7, 6, 5, 4, 3, 2, 1, 0].map((index) => part(16n, index).toString(16)).join(":");
  // URLs have their IPv6 hosts in the canonical short form.
  return new URL(`http://[${groups}]/`).hostname.slice(1, -1);
}
