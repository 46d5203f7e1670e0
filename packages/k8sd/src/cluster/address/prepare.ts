import { isDeepStrictEqual } from "node:util";
import { splitHostPort } from "../../components/address.ts";
import type { NodeView } from "../../components/component.ts";
import type { Host, NetworkInterface } from "../../host/host.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { defaultPort, nodeIps, parseAddress } from "../config/address.ts";
import { ownPeerUrl } from "../join/datastore-view.ts";

/** The node as it is with another address; undefined when it has that already. */
export function movedInput(
  before: BootstrapInput,
  text: string,
  host: Pick<Host, "hostname" | "interfaces">,
): BootstrapInput | undefined {
  const interfaces = host.interfaces();
  const asked = parseAddress(text, interfaces);
  const port = namesPort(text) ? asked.port : (splitHostPort(before.view.k8sdAddress)?.port ?? defaultPort);
  const addresses = nodeIps(asked.ip, interfaces);
  const k8sdAddress = `${asked.ip.includes(":") ? `[${asked.ip}]` : asked.ip}:${port}`;
  if (isDeepStrictEqual([addresses, k8sdAddress], [before.view.addresses, before.view.k8sdAddress])) return undefined;
  const view: NodeView = { ...before.view, addresses, k8sdAddress, hostname: host.hostname };
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

/** Bridges and pairs that container runtimes make are no addresses of a node; `parseAddress` knows them. */
export function newAddress(
  { view }: BootstrapInput,
  interfaces: readonly NetworkInterface[],
  defaultRoutes: readonly string[],
): string | undefined {
  const [old = ""] = view.addresses;
  const present = (nic: NetworkInterface) => nic.addresses.some(({ address }) => address === old);
  if (interfaces.some(present)) return undefined;
  const family = old.includes(":") ? 6 : 4;
  const same = interfaces.map((nic) => ({ ...nic, addresses: nic.addresses.filter((each) => each.family === family) }));
  // The way out of the host is where its address was.
  for (const candidates of [same.filter(({ name }) => defaultRoutes.includes(name)), same]) {
    try {
      return parseAddress("", candidates).ip;
    } catch {
      // None of these has one.
    }
  }
  return undefined;
}
