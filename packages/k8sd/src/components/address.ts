import { isIPv6 } from "node:net";

/** `host:port` with the brackets that an IPv6 address needs. */
export function hostPort(host: string, port: number | string): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

export function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}

/** Where a program of this node is reached that listens on `host`; none, or a wildcard, means on every address. */
export function reachedAt(host: string, loopback: string): string {
  return ["", "0.0.0.0", "::"].includes(host) ? loopback : host;
}

/** Splits `host:port`; undefined when it is not one. */
export function splitHostPort(value: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d+)$/.exec(value);
  return match === null ? undefined : { host: match[1] ?? match[2] ?? "", port: Number(match[3]) };
}
