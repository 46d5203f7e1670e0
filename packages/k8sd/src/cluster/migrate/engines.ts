import { join } from "node:path";
import { hostPort } from "../../components/address.ts";
import type { ComponentSpec, DatastoreView, NodeView } from "../../components/component.ts";
import { etcd, etcdData, secludedEtcd } from "../../components/etcd.ts";
import { k8sDatastore } from "../../components/k8s-datastore.ts";
import type { Paths } from "../../host/paths.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { peerUrl } from "../join/prepare.ts";
import type { ManagedEngine } from "./plan.ts";

const defaultPeerPort = 2380;

/** The node as it is with another engine, which serves at the same address. */
export function withEngine(before: BootstrapInput, engine: ManagedEngine): BootstrapInput {
  const { view, config } = before;
  return {
    ...before,
    config: { ...config, datastore: { ...config.datastore, type: engine } },
    view: { ...view, datastore: datastoreView(before, engine) },
  };
}

function datastoreView({ view, config }: BootstrapInput, engine: ManagedEngine): DatastoreView {
  const { datastore } = view;
  const { endpoints } = datastore;
  const clientPort = "clientPort" in datastore ? datastore.clientPort : 0;
  if (engine === "sqlite") return { engine, endpoints, clientPort };
  const peerPort = config.datastore["etcd-peer-port"] ?? defaultPeerPort;
  const [address = view.loopback] = view.addresses;
  // Should its data be lost, it must not found a cluster of its own.
  const initialCluster = { state: "existing", peers: { [view.name]: peerUrl(address, peerPort) } } as const;
  return { engine, endpoints, clientPort, peerPort, initialCluster };
}

/** The same node with its engine on another port of loopback. */
export function onPort(view: NodeView, clientPort: number): NodeView {
  const endpoints = [`https://${hostPort(view.loopback, clientPort)}`];
  return { ...view, datastore: { ...view.datastore, endpoints, clientPort } as DatastoreView };
}

export function engineOf(view: NodeView): ComponentSpec {
  return view.datastore.engine === "etcd" ? etcd : k8sDatastore;
}

/** It listens on loopback alone. */
export function secludedEngineOf(view: NodeView): ComponentSpec {
  return view.datastore.engine === "etcd" ? secludedEtcd(etcdData(view.paths)) : k8sDatastore;
}

/** What an engine keeps; backups that lie beside it stay. */
export function dataOf(paths: Paths, engine: ManagedEngine): string {
  return engine === "etcd" ? etcdData(paths) : paths.datastore;
}

/** Where the data of a new etcd is made. */
export const scratchOf = (paths: Paths): string => join(paths.etcd, "migration");
