import { networkInterfaces } from "node:os";

import type { NetworkInterface } from "./host.ts";

export function readInterfaces(): readonly NetworkInterface[] {
  return Object.entries(networkInterfaces()).map(([name, addresses]) => ({
    name,
    addresses: (addresses ?? []).map(({ address, family, cidr, internal }) => ({
      address,
      family: family === "IPv4" ? (4 as const) : (6 as const),
      prefix: cidr === null ? (family === "IPv4" ? 32 : 128) : Number(cidr.slice(cidr.indexOf("/") + 1)),
      internal,
    })),
  }));
}
