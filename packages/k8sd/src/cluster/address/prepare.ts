import { isDeepStrictEqual } from "node:util";
import { hostPort, splitHostPort } from "../../components/address.ts";
import type { NodeView } from "../../components/component.ts";
import type { Host, NetworkInterface } from "../../host/host.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { defaultPort, nodeIps, parseAddress } from "../config/address.ts";
import { ownPeerUrl } from "../join/datastore-view.ts";

/**
 * The node as it is with another address, on a host that may have got another name; undefined when nothing differs. The
 * node's own name never changes: it is what Kubernetes and etcd know it by.
 */
export function movedInput(
  before: BootstrapInput,
  text: string,
  host: Pick<Host, "hostname" | "interfaces">,
): BootstrapInput | undefined {
  const interfaces = host.interfaces();
  const asked = parseAddress(text, interfaces);
  const port = namesPort(text) ? asked.port : (splitHostPort(before.view.k8sdAddress)?.port ?? defaultPort);
  const addresses = nodeIps(asked.ip, interfaces);
  const k8sdAddress = hostPort(asked.ip, port);
  const moved = { addresses, k8sdAddress, hostname: host.hostname };
  const { view: old } = before;
  if (isDeepStrictEqual(moved, { addresses: old.addresses, k8sdAddress: old.k8sdAddress, hostname: old.hostname })) {
    return undefined;
  }
  const view: NodeView = { ...old, ...moved };
  return { ...before, view: { ...view, datastore: movedDatastore(view) } };
}

function namesPort(text: string): boolean {
  return /^(\[[^\]]*\]|[^:]*):\d+$/.test(text);
}

function movedDatastore(view: NodeView): NodeView["datastore"] {
  const { datastore } = view;
  if (datastore.engine !== "etcd") return datastore;
  const { state, peers } = datastore.initialCluster;
  return { ...datastore, initialCluster: { state, peers: { ...peers, [view.name]: ownPeerUrl(view, datastore) } } };
}

export interface NewAddress {
  readonly address: string;
  /** It is where the host's way out is. Otherwise the right one may still be on its way. */
  readonly certain: boolean;
}

/**
 * The address to take for a node that has not got all of its own any more; undefined when it has them, or none of the first
 * one's family.
 */
export function newAddress(
  { view }: BootstrapInput,
  interfaces: readonly NetworkInterface[],
  defaultRoutes: readonly string[],
): NewAddress | undefined {
  const [old = "", second] = view.addresses;
  const has = (wanted: string) => interfaces.some((nic) => nic.addresses.some(({ address }) => address === wanted));
  if (has(old)) {
    if (second === undefined || has(second)) return undefined;
    // That of the other family is another one now, or was late; the node goes with its first.
    return { address: old, certain: nodeIps(old, interfaces).length > 1 };
  }
  const family = old.includes(":") ? 6 : 4;
  const same = interfaces.map((nic) => ({ ...nic, addresses: nic.addresses.filter((each) => each.family === family) }));
  const onRoute = same.filter(({ name }) => defaultRoutes.includes(name));
  for (const [candidates, certain] of [[onRoute, true] as const, [same, false] as const]) {
    try {
      return { address: parseAddress("", candidates).ip, certain };
    } catch {
      // None of these has one.
    }
  }
  return undefined;
}
