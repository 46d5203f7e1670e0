import { isIP, isIPv6 } from "node:net";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { orAborted } from "../lib/wait.ts";

/** IP addresses of a host name; rejects when there is none. */
export type Resolve = (host: string) => Promise<readonly string[]>;

/** At most this many ways to a peer are tried: eight addresses, some of them names with two families. */
const maxWays = 12;

export function listenMultiaddr(host: string, port: number): string {
  return `/${isIPv6(host) ? "ip6" : "ip4"}/${host}/tcp/${port}`;
}

/** `host:port` or `[host]:port` as multiaddrs of one peer. Rejects when nothing remains to try, with why. */
export async function resolveAddresses(
  addresses: readonly string[],
  peerId: string,
  resolve: Resolve,
  signal: AbortSignal,
): Promise<Multiaddr[]> {
  if (addresses.length === 0) throw new Error("no address is known");
  const failures: unknown[] = [];
  const ways = await Promise.all(
    addresses.map(async (address) => {
      const { host, port } = splitAddress(address);
      try {
        return (isIP(host) > 0 ? [host] : await orAborted(resolve(host), signal)).map((ip) =>
          multiaddr(`${listenMultiaddr(ip, port)}/p2p/${peerId}`),
        );
      } catch (error) {
        failures.push(error);
        return [];
      }
    }),
  );
  const found = ways.flat();
  if (found.length === 0) throw new AggregateError(failures, "no address can be used");
  return found.slice(0, maxWays);
}

function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || port === undefined) throw new Error(`${address} is not host:port`);
  return { host, port: Number(port) };
}
