import { join } from "node:path";
import { hostPort } from "../../components/address.ts";
import type { ComponentSpec, DatastoreView, NodeView } from "../../components/component.ts";
import { etcd, etcdData, secludedEtcd } from "../../components/etcd.ts";
import { k8sDatastore, newK8sDatastore } from "../../components/k8s-datastore.ts";
import type { Paths } from "../../host/paths.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { defaultPorts } from "../config/defaults.ts";
import { peerUrl } from "../join/prepare.ts";
import type { Destination } from "./destination.ts";
import type { ManagedEngine, MigrateInput, MovableEngine } from "./plan.ts";

/**
 * The node as it is with another engine, which serves at the same address.
 * @param server of a database, without the password
 */
export function withEngine(before: BootstrapInput, engine: MovableEngine, server = ""): BootstrapInput {
  const { view, config } = before;
  const { "external-servers": _servers, ...datastore } = config.datastore;
  const record =
    engine === "postgres"
      ? { ...datastore, type: "external", "external-servers": [server] }
      : { ...datastore, type: engine };
  return {
    ...before,
    config: { ...config, datastore: record },
    view: { ...view, datastore: datastoreView(before, engine, server) },
  };
}

/** The node as it is with its data in an etcd of somebody else. */
export function withEtcdOf(
  { servers, access }: NonNullable<Destination["etcd"]>,
  before: BootstrapInput,
): BootstrapInput {
  const { view, config } = before;
  const datastore: DatastoreView = {
    engine: "external",
    endpoints: servers,
    ca: Boolean(access["datastore-ca-crt"]),
    clientCertificate: Boolean(access["datastore-client-crt"]),
  };
  const record = { ...config.datastore, type: "external", "external-servers": [...servers] };
  return { ...before, config: { ...config, datastore: record }, view: { ...view, datastore } };
}

function datastoreView({ view, config }: BootstrapInput, engine: MovableEngine, server: string): DatastoreView {
  const { datastore } = view;
  const clientPort =
    "clientPort" in datastore ? datastore.clientPort : (config.datastore["etcd-port"] ?? defaultPorts.etcd);
  // kube-apiserver comes from another address, and is started anew.
  const endpoints =
    datastore.engine === "external" ? [`https://${hostPort(view.loopback, clientPort)}`] : datastore.endpoints;
  if (engine === "sqlite") return { engine, endpoints, clientPort };
  if (engine === "postgres") return { engine, endpoints, clientPort, server };
  const peerPort = config.datastore["etcd-peer-port"] ?? defaultPorts.etcdPeer;
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

/**
 * The new engine while the old one works. Where one program serves both, it runs under another name beside itself.
 * @param initialRevision of an engine that holds nothing yet
 */
export function targetOf({ before, after }: MigrateInput, initialRevision?: number): ComponentSpec {
  if (after.view.datastore.engine === "etcd") return secludedEngineOf(after.view);
  const component = initialRevision === undefined ? k8sDatastore : newK8sDatastore(initialRevision);
  return engineOf(before.view).name === component.name ? named(component, `${component.name}-new`) : component;
}

function named(component: ComponentSpec, name: string): ComponentSpec {
  const render: ComponentSpec["render"] = (node) => {
    const rendered = component.render(node);
    return { ...rendered, service: { ...rendered.service, name } };
  };
  return { ...component, name, render };
}

/** What an engine keeps; backups that lie beside it stay. */
export function dataOf(paths: Pick<Paths, "etcd" | "datastore">, engine: ManagedEngine): string {
  return engine === "etcd" ? etcdData(paths) : paths.datastore;
}

/** Where the data of a new etcd is made. */
export const scratchOf = (paths: Paths): string => join(paths.etcd, "migration");
