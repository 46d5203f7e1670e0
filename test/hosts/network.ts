import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { addressAt, gatewayOf, indexOf, parseSubnet, releaseIndex, reserveIndex } from "./addresses.ts";
import { killHelpers, startDelay, stopDelay } from "./delays.ts";
import { exec, type RunResult, tryExec } from "./exec.ts";
import { concerns, type Fault, renderFaults } from "./faults.ts";
import { whenTestFinishes } from "./keep.ts";
import { findOnPath } from "./on-path.ts";
import { bootId, claimStateDir, type NetworkRecord, removeStateDir, thisProcess, writeRecord } from "./record.ts";
import type { Keep } from "./types.ts";

export interface NetworkOptions {
  readonly name?: string;
  /** Absent: 10.77.0.0/24. Networks do not see each other, so all may use the same one. */
  readonly ipv4Subnet?: string;
  /** A /64 such as fd77::/64; absent: hosts have link-local IPv6 addresses alone. */
  readonly ipv6Subnet?: string;
  /** A directory laid out like /usr that holds nft, for machines that do not have it. Only faults need it. */
  readonly toolsDir?: string;
  readonly persistent?: boolean;
  readonly keep?: Keep;
}

interface PortAddress {
  readonly port: string;
  readonly ipv4: string;
  readonly ipv6: string | undefined;
}

/** A switch with hosts on it. It lives in a network namespace of its own; the machine's has no part in it. */
export interface Network extends AsyncDisposable {
  readonly name: string;
  readonly dir: string;
  readonly ipv4Subnet: string;
  readonly ipv6Subnet: string | undefined;
  /** The switch's own address, and the hosts' default route. What has no host behind it is answered "unreachable". */
  readonly gateway: string;
  /** Runs a command of the machine on the switch, which reaches every host: curl, ping, a browser's proxy. */
  run(...argv: string[]): Promise<RunResult>;
  /** Undoes the faults of all hosts. */
  heal(): Promise<void>;
  destroy(): Promise<void>;

  /** For hosts: */
  reserve(address: string | undefined): PortAddress;
  /** Frees an address, and heals what was wrong with its port. */
  release(address: string): Promise<void>;
  at(address: string): PortAddress;
  plug(port: PortAddress, netns: string): Promise<void>;
  addFault(fault: Fault): Promise<void>;
  removeFaults(port: string): Promise<void>;
}

export async function createNetwork(options: NetworkOptions = {}): Promise<Network> {
  const persistent = options.persistent ?? false;
  const { dir, label } = claimStateDir(options.name ?? "net", persistent);
  const record: NetworkRecord = {
    kind: "network",
    name: options.name ?? "net",
    owner: thisProcess(),
    bootId: bootId(),
    persistent,
    kept: false,
    netns: `k8sd-switch.${label}`,
    ipv4Subnet: options.ipv4Subnet ?? "10.77.0.0/24",
    ...(options.ipv6Subnet === undefined ? {} : { ipv6Subnet: options.ipv6Subnet }),
    ...(options.toolsDir === undefined ? {} : { toolsDir: options.toolsDir }),
  };
  writeRecord(dir, record);
  try {
    await makeSwitch(record);
    return await openNetwork(dir, record, options.keep);
  } catch (error) {
    await destroyNetwork(dir, record);
    throw error;
  }
}

async function makeSwitch({ netns, ipv4Subnet, ipv6Subnet }: NetworkRecord): Promise<void> {
  const subnet = parseSubnet(ipv4Subnet);
  await exec("ip", ["netns", "add", netns]);
  const commands = [
    "link set lo up",
    "link add br0 type bridge forward_delay 0",
    "link set br0 up",
    `addr add ${gatewayOf(subnet)}/${subnet.prefix} dev br0`,
    ...(ipv6Subnet === undefined ? [] : [`addr add ${ipv6Gateway(ipv6Subnet)}/64 dev br0 nodad`]),
  ];
  await exec("ip", ["-n", netns, "-batch", "-"], { stdin: commands.join("\n") });
  // With forwarding on, the switch says at once that there is nothing beyond it, instead of leaving callers to time out.
  const forward = "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";
  await exec("ip", ["netns", "exec", netns, "sh", "-c", forward]);
}

function ipv6Gateway(subnet: string): string {
  return `${ipv6Prefix(subnet)}ffff`;
}

function ipv6Prefix(subnet: string): string {
  const prefix = /^([0-9a-f:]+::)\/64$/i.exec(subnet)?.[1];
  if (prefix === undefined) throw new Error(`cannot use the subnet ${subnet}: write it like fd77::/64`);
  return prefix;
}

/** Takes up a network that exists, perhaps made by another process. */
export async function openNetwork(dir: string, record: NetworkRecord, keep?: Keep): Promise<Network> {
  const subnet = parseSubnet(record.ipv4Subnet);
  let changes: Promise<unknown> = Promise.resolve(); // changes of the rules wait for one another
  const change = (edit: (faults: Fault[]) => Fault[]) => {
    const done = changes.then(() => changeFaults(dir, record, edit));
    changes = done.catch(() => {}); // whoever asked for it gets the error
    return done;
  };
  let destroyed: Promise<void> | undefined;
  const destroy = () => {
    destroyed ??= destroyNetwork(dir, record); // once: its name may be another's by then
    return destroyed;
  };
  const onDispose = record.persistent
    ? async () => {}
    : await whenTestFinishes(keep, destroy, () => writeRecord(dir, { ...record, kept: true }));
  const at = (address: string): PortAddress => {
    const index = indexOf(subnet, address);
    const ipv6 = record.ipv6Subnet === undefined ? undefined : `${ipv6Prefix(record.ipv6Subnet)}${index.toString(16)}`;
    return { port: `p${index}`, ipv4: address, ipv6 };
  };
  const removeFaults = (port: string) => change((faults) => faults.filter((each) => !concerns(each, port)));
  return {
    name: record.name,
    dir,
    ipv4Subnet: record.ipv4Subnet,
    ipv6Subnet: record.ipv6Subnet,
    gateway: gatewayOf(subnet),
    run: (...argv) => exec("ip", ["netns", "exec", record.netns, ...argv]),
    heal: () => change(() => []),
    destroy,
    reserve: (address) => at(addressAt(subnet, reserveIndex(dir, subnet, address))),
    release: async (address) => {
      await removeFaults(at(address).port);
      releaseIndex(dir, indexOf(subnet, address));
    },
    at,
    plug: (port, netns) => plug(dir, record, port, netns),
    addFault: (fault) => change((faults) => [...faults.filter((each) => !replaces(fault, each)), fault]),
    removeFaults,
    [Symbol.asyncDispose]: onDispose,
  };
}

function replaces(fault: Fault, earlier: Fault): boolean {
  return fault.kind !== "pair" && earlier.kind === fault.kind && earlier.port === fault.port;
}

async function plug(
  dir: string,
  record: NetworkRecord,
  { port, ipv4, ipv6 }: PortAddress,
  netns: string,
): Promise<void> {
  const subnet = parseSubnet(record.ipv4Subnet);
  // After a restart of the machine a persistent network is but its record.
  if (!existsSync(`/run/netns/${record.netns}`)) {
    await makeSwitch(record);
    rmSync(join(dir, "faults.json"), { force: true });
  }
  // The kernel takes the ends of a namespace that is gone away in its own time; a reboot may be faster.
  await tryExec("ip", ["-n", record.netns, "link", "del", port]);
  // A machine keeps its hardware address over a reboot, so the others still know it.
  const mac = ["02:4b", ...ipv4.split(".").map((part) => Number(part).toString(16).padStart(2, "0"))].join(":");
  const onSwitch = [
    `link add ${port} type veth peer name eth0 address ${mac} netns ${netns}`,
    `link set ${port} master br0 up`,
  ];
  await exec("ip", ["-n", record.netns, "-batch", "-"], { stdin: onSwitch.join("\n") });
  const inHost = [
    "link set lo up",
    `addr add ${ipv4}/${subnet.prefix} dev eth0`,
    ...(ipv6 === undefined ? [] : [`addr add ${ipv6}/64 dev eth0 nodad`]),
    "link set eth0 up",
    `route add default via ${gatewayOf(subnet)}`,
    ...(record.ipv6Subnet === undefined ? [] : [`route add default via ${ipv6Gateway(record.ipv6Subnet)}`]),
  ];
  await exec("ip", ["-n", netns, "-batch", "-"], { stdin: inHost.join("\n") });
  for (const fault of readFaults(dir)) {
    if (fault.kind === "delay" && fault.port === port) await startDelay(dir, record.netns, fault);
  }
}

function readFaults(dir: string): Fault[] {
  const file = join(dir, "faults.json");
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : [];
}

async function changeFaults(dir: string, record: NetworkRecord, edit: (faults: Fault[]) => Fault[]): Promise<void> {
  const before = readFaults(dir);
  const after = edit(before);
  const isDropping = (fault: Fault) => fault.kind !== "delay";
  if (before.some(isDropping) || after.some(isDropping)) {
    const { nft, env } = findNft(record.toolsDir);
    await exec("ip", ["netns", "exec", record.netns, nft, "-f", "-"], { stdin: renderFaults(after), env });
  }
  for (const fault of before) {
    if (fault.kind === "delay" && !after.includes(fault)) await stopDelay(dir, record.netns, fault.port);
  }
  for (const fault of after) {
    if (fault.kind === "delay" && !before.includes(fault)) await startDelay(dir, record.netns, fault);
  }
  writeFileSync(join(dir, "faults.json"), JSON.stringify(after));
}

function findNft(toolsDir: string | undefined): { nft: string; env: Record<string, string> } {
  if (toolsDir !== undefined && existsSync(join(toolsDir, "sbin/nft"))) {
    const libraries = readdirSync(join(toolsDir, "lib")).filter((each) => each.endsWith("-linux-gnu"));
    const path = libraries.map((each) => join(toolsDir, "lib", each)).join(":");
    return { nft: join(toolsDir, "sbin/nft"), env: { LD_LIBRARY_PATH: path } };
  }
  const nft = findOnPath("nft");
  if (nft === undefined)
    throw new Error(
      "cannot disturb the network: there is no nft on this machine; give `toolsDir`, a usr layer with sbin/nft",
    );
  return { nft, env: {} };
}

export async function destroyNetwork(dir: string, record: NetworkRecord): Promise<void> {
  if (existsSync(dir)) killHelpers(dir);
  if (existsSync(`/run/netns/${record.netns}`)) await exec("ip", ["netns", "del", record.netns]);
  await removeStateDir(dir);
}
