import { closeSync, mkdirSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";

/** An IPv4 network as the numbers 0 (the network itself) to size - 1 (its broadcast address). */
export interface Subnet {
  readonly base: number;
  readonly prefix: number;
  readonly size: number;
}

export function parseSubnet(text: string): Subnet {
  const [address = "", prefixText = ""] = text.split("/");
  const prefix = Number(prefixText);
  if (!Number.isInteger(prefix) || prefix < 8 || prefix > 29)
    throw new Error(`cannot use the subnet ${text}: its prefix must be /8 to /29`);
  const size = 2 ** (32 - prefix);
  const base = toNumber(address);
  if (base % size !== 0) throw new Error(`cannot use the subnet ${text}: its host part is not zero`);
  return { base, prefix, size };
}

function toNumber(address: string): number {
  const parts = address.split(".").map(Number);
  if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255)) {
    throw new Error(`cannot read ${address} as an IPv4 address`);
  }
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

export function addressAt({ base }: Subnet, index: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor((base + index) / 2 ** shift) % 256).join(".");
}

export function indexOf(subnet: Subnet, address: string): number {
  const index = toNumber(address) - subnet.base;
  if (index < 1 || index > subnet.size - 3) {
    throw new Error(
      `cannot give a host the address ${address}: it is outside ${addressAt(subnet, 0)}/${subnet.prefix}, or the gateway's`,
    );
  }
  return index;
}

/** The last usable address belongs to the switch. */
export function gatewayOf(subnet: Subnet): string {
  return addressAt(subnet, subnet.size - 2);
}

/** Takes an address for a host: a file per address, so that other processes see it too. */
export function reserveIndex(networkDir: string, subnet: Subnet, wanted: string | undefined): number {
  const dir = join(networkDir, "addresses");
  mkdirSync(dir, { recursive: true });
  const isFree = (index: number) => {
    try {
      closeSync(openSync(join(dir, String(index)), "wx"));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    }
  };
  if (wanted !== undefined) {
    const index = indexOf(subnet, wanted);
    if (!isFree(index)) throw new Error(`cannot give a host the address ${wanted}: another one has it`);
    return index;
  }
  for (let index = 1; index <= subnet.size - 3; index++) if (isFree(index)) return index;
  throw new Error(`cannot add a host: ${addressAt(subnet, 0)}/${subnet.prefix} has no free address`);
}

export function releaseIndex(networkDir: string, index: number): void {
  rmSync(join(networkDir, "addresses", String(index)), { force: true });
}
