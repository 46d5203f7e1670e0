import { hostPort } from "../../components/address.ts";
import type { NetworkInterface } from "../../host/host.ts";
import { AppError } from "../../lib/app-error.ts";
import { canonicalIp } from "../../pki/names.ts";
import { type Cidr, contains, type Ip, parseCidr, parseIp } from "./cidr.ts";

export const defaultPort = 6400;

export interface NodeAddress {
  readonly ip: string;
  readonly port: number;
  /** `ip:port`, IPv6 in brackets. */
  readonly text: string;
}

/** Bridges and pairs that container runtimes make: never the address of a node. */
const notOurs = /^(cni|veth|docker|podman|cilium|lxc[^a-z]|flannel|kube-|virbr)/;

/**
 * Reads `--address`: ``, `10.0.0.5`, `10.0.0.0/24`, `10.0.0.5:2380`, `:2380`, `2001:db8::/32`, `[2001:db8::/32]:8080`. A CIDR
 * stands for this host's address inside it, nothing for its first usable address.
 */
export function parseAddress(text: string, interfaces: readonly NetworkInterface[]): NodeAddress {
  const { host, port } = splitAddress(text);
  if (host === "") {
    const first = usable(interfaces)[0];
    if (first === undefined) throw noAddress("could not find a usable address on any network interface");
    return nodeAddress(first.address, port);
  }
  if (host.includes("/")) return nodeAddress(matching(host, interfaces), port);
  if (parseIp(host) === undefined) throw noAddress(`failed to parse node IP address ${JSON.stringify(host)}`);
  // An address of a node is compared in many places, and IPv6 has many ways to write one.
  return nodeAddress(canonicalIp(host), port);
}

/** The node's address and, when its interface has one, the first address of the other family. */
export function nodeIps(ip: string, interfaces: readonly NetworkInterface[]): readonly string[] {
  const wanted = parseIp(ip);
  const same = (other: Ip | undefined) => other?.value === wanted?.value && other?.family === wanted?.family;
  const owner = interfaces.find(({ addresses }) => addresses.some(({ address }) => same(parseIp(address))));
  if (wanted === undefined || owner === undefined) {
    throw noAddress(`cannot use address ${ip}: no network interface of this host has it`);
  }
  const other = owner.addresses.find(({ address, family }) => family !== wanted.family && isGlobal(parseIp(address)));
  return other === undefined ? [ip] : [ip, other.address];
}

/** What is before the port may be no address yet: a CIDR, or nothing. */
function splitAddress(text: string): { host: string; port: number } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  if (bracketed !== null) return { host: bracketed[1] ?? "", port: parsePort(bracketed[2]) };
  const colons = text.split(":").length - 1;
  // More than one colon without brackets is a bare IPv6 address or CIDR.
  if (colons !== 1) return { host: text, port: defaultPort };
  const [host = "", port] = text.split(":");
  return { host, port: parsePort(port) };
}

function parsePort(text: string | undefined): number {
  if (text === undefined) return defaultPort;
  const port = /^-?\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  // Not 0 either: whichever port the kernel would choose then, the others would not know it.
  if (port >= 1 && port <= 65_535) return port;
  throw new AppError("invalid", `invalid port number ${text === "" ? '""' : text}`, {
    field: "address",
    remedy: "Give a port between 1 and 65535.",
  });
}

function matching(cidrText: string, interfaces: readonly NetworkInterface[]): string {
  const cidr: Cidr | undefined = parseCidr(cidrText);
  const inside = interfaces
    .flatMap(({ addresses }) => addresses)
    .find(({ address, internal }) => {
      const ip = parseIp(address);
      return cidr !== undefined && ip !== undefined && !internal && contains(cidr, ip);
    });
  if (inside === undefined) throw noAddress(`could not find a matching address for CIDR ${JSON.stringify(cidrText)}`);
  return inside.address;
}

function usable(interfaces: readonly NetworkInterface[]) {
  return interfaces
    .filter(({ name }) => !notOurs.test(name))
    .flatMap(({ addresses }) => addresses)
    .filter(({ address, internal }) => !internal && isGlobal(parseIp(address)));
}

const linkLocal = [parseCidr("169.254.0.0/16"), parseCidr("fe80::/10"), parseCidr("127.0.0.0/8"), parseCidr("::1/128")];

function isGlobal(ip: Ip | undefined): boolean {
  return ip !== undefined && !linkLocal.some((cidr) => cidr !== undefined && contains(cidr, ip));
}

function nodeAddress(ip: string, port: number): NodeAddress {
  return { ip, port, text: hostPort(ip, port) };
}

function noAddress(message: string): AppError {
  return new AppError("invalid", message, {
    field: "address",
    remedy: "Give the IP address of a network interface of this host.",
  });
}
