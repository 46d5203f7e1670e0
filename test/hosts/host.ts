import { existsSync } from "node:fs";
import { join } from "node:path";
import { hostsUnavailable } from "./available.ts";
import { planCgroups } from "./cgroups.ts";
import { createNetwork, destroyNetwork, type Network, openNetwork } from "./network.ts";
import { destroyHost, openHost } from "./open-host.ts";
import { bootHost } from "./power.ts";
import {
  bootId,
  claimStateDir,
  type HostRecord,
  isHostState,
  isStale,
  listAbandonedDirs,
  listStates,
  readRecord,
  removeStateDir,
  type StateRecord,
  thisProcess,
  writeRecord,
} from "./record.ts";
import { writeSkeleton } from "./skeleton.ts";
import type { Bind, Host, HostOptions } from "./types.ts";

/** Makes a host and waits until it is up: `await using host = await createHost({ name: "n1" })`. */
export async function createHost(options: HostOptions = {}): Promise<Host> {
  const reason = hostsUnavailable();
  if (reason !== undefined) throw new Error(`cannot create a host: ${reason}`);
  const usrLayers = options.usrLayers ?? [];
  const binds = options.binds ?? [];
  checkPaths(usrLayers, binds);
  if (options.persistent && options.network !== undefined && !readRecord(options.network.dir)?.persistent) {
    throw new Error(
      "cannot create a persistent host on a network that is not: create the network with `persistent: true`",
    );
  }
  await sweep();
  const name = options.name ?? "host";
  const persistent = options.persistent ?? false;
  const { dir, label } = claimStateDir(name, persistent);
  let network = options.network;
  let record: HostRecord | undefined;
  try {
    network ??= await ownNetwork(name, persistent, usrLayers, options);
    const address = network.reserve(options.address);
    record = {
      kind: "host",
      name,
      owner: thisProcess(),
      bootId: bootId(),
      persistent,
      kept: false,
      systemd: options.systemd ?? true,
      networkDir: network.dir,
      ownsNetwork: options.network === undefined,
      address: address.ipv4,
      netns: `k8sd-host.${label}`,
      cgroups: planCgroups(label),
      usrLayers,
      binds,
      ...(options.memoryMaxBytes === undefined ? {} : { memoryMaxBytes: options.memoryMaxBytes }),
    };
    writeRecord(dir, record);
    const addresses = [address.ipv4, ...(address.ipv6 === undefined ? [] : [address.ipv6])];
    await writeSkeleton(join(dir, "root"), { name, addresses, systemd: record.systemd });
    const host = await openHost(dir, record, network, options.keep);
    await bootHost(dir, record, network, options.signal);
    return host;
  } catch (error) {
    if (record === undefined) {
      await removeStateDir(dir);
      if (options.network === undefined) await network?.destroy();
    } else {
      await destroyHost(dir, record, network);
    }
    throw error;
  }
}

/** These become mount options and lines of lists, so some characters cannot be in them. */
function checkPaths(usrLayers: readonly string[], binds: readonly Bind[]): void {
  for (const path of usrLayers) {
    if (!/^\/[^:,\\\n\t]+$/.test(path) || !existsSync(path))
      throw new Error(`cannot use the usr layer "${path}": it must be an existing directory, by its full path`);
  }
  for (const path of binds.flatMap(({ from, to }) => [from, to])) {
    if (!/^\/[^\n\t]*$/.test(path)) throw new Error(`cannot bind "${path}": give its full path`);
  }
  for (const { from } of binds) if (!existsSync(from)) throw new Error(`cannot bind "${from}": it does not exist`);
}

function ownNetwork(
  name: string,
  persistent: boolean,
  usrLayers: readonly string[],
  { keep }: HostOptions,
): Promise<Network> {
  const toolsDir = usrLayers.find((layer) => existsSync(join(layer, "sbin/nft")));
  return createNetwork({
    name: `${name}-net`,
    persistent,
    ...(toolsDir === undefined ? {} : { toolsDir }),
    ...(keep === undefined ? {} : { keep }),
  });
}

/** A host by its name, whichever process made it, on or off. A persistent one comes first, then the newest. */
export async function findHost(name: string): Promise<Host | undefined> {
  const found = listStates()
    .filter(isHostState)
    .filter(({ record }) => record.name === name)
    .sort(
      (a, b) =>
        Number(b.record.persistent) - Number(a.record.persistent) ||
        Number(b.record.owner.started) - Number(a.record.owner.started),
    )[0];
  if (found === undefined) return undefined;
  const network = await networkOf(found.record);
  if (network === undefined)
    throw new Error(`cannot find the network of host ${name}; remove the host and create it again`);
  return openHost(found.dir, found.record, network, "never");
}

async function networkOf(host: HostRecord): Promise<Network | undefined> {
  const record = readRecord(host.networkDir);
  return record?.kind === "network" ? openNetwork(host.networkDir, record, "never") : undefined;
}

/** Removes what processes that are gone left behind, and says what it removed. What resists is told and left. */
export async function sweep(isUnwanted: (record: StateRecord) => boolean = isStale): Promise<string[]> {
  const removed: string[] = [];
  const remove = async (what: string, removal: () => Promise<void>) => {
    try {
      await removal();
      removed.push(what);
    } catch (error) {
      console.error(`cannot remove ${what}:`, error);
    }
  };
  const unwanted = listStates().filter(({ record }) => isUnwanted(record));
  for (const { dir, record } of unwanted.filter(isHostState)) {
    await remove(`host ${record.name}`, async () => destroyHost(dir, record, await networkOf(record)));
  }
  for (const { dir, record } of unwanted) {
    if (record.kind === "network") await remove(`network ${record.name}`, () => destroyNetwork(dir, record));
  }
  for (const dir of listAbandonedDirs()) await remove(dir, () => removeStateDir(dir));
  return removed;
}
