import { join } from "node:path";
import type { Paths } from "../host/paths.ts";
import { AppError } from "../lib/app-error.ts";
import { hostPort, isLoopback } from "./address.ts";
import type { Arguments, ExtraArguments } from "./arguments.ts";
import { pkiFiles } from "./certificates.ts";
import type { ComponentSpec, NodeView } from "./component.ts";
import { datastoreReady } from "./k8s-datastore.ts";
import { componentService } from "./service.ts";

/** Members find each other again and replay their log; a large one on a slow disk takes its time. */
const stopSeconds = 60;

export const etcdData = (paths: Pick<Paths, "etcd">): string => join(paths.etcd, "data");

/** Of an only member, which need not wait for anybody before it elects itself. */
const hasty: Arguments = { "--election-timeout": "100", "--heartbeat-interval": "10" };

/** Times that somebody chose belong together, and stay as they are. */
export const hastyUnlessChosen = (args: ExtraArguments): Arguments =>
  Object.keys(hasty).some((name) => name in args) ? {} : hasty;

/** Of a member that nobody but this node reaches. */
interface Alone {
  readonly dataDir: string;
  /** It is a cluster by itself for as long as it runs, whatever its data says. */
  readonly forced: boolean;
}

function render(node: NodeView, alone?: Alone) {
  const { paths, datastore } = node;
  const address = node.addresses[0];
  if (datastore.engine !== "etcd" || address === undefined) {
    throw new AppError("internal", "cannot render etcd: the node does not run it or has no address");
  }
  const pki = pkiFiles(paths);
  const client = `https://${hostPort(address, datastore.clientPort)}`;
  const local = `https://${hostPort(node.loopback, datastore.clientPort)}`;
  const peer = `https://${hostPort(address, datastore.peerPort)}`;
  const localPeer = `https://${hostPort(node.loopback, datastore.peerPort)}`;
  const peers = Object.entries(datastore.initialCluster.peers).sort(([a], [b]) => (a < b ? -1 : 1));
  const service = componentService(node, {
    name: "etcd",
    description: "etcd, the datastore of the cluster",
    stopTimeoutSeconds: stopSeconds,
    args: {
      "--advertise-client-urls": client,
      "--auto-tls": "false",
      "--cert-file": pki.etcdServer.crt,
      "--client-cert-auth": "true",
      "--data-dir": alone?.dataDir ?? etcdData(paths),
      // The gateway would call its own server with the server's certificate, which is none for clients; nobody uses it.
      "--enable-grpc-gateway": "false",
      "--force-new-cluster": alone?.forced ? "true" : undefined,
      "--initial-advertise-peer-urls": peer,
      "--initial-cluster": peers.map(([name, url]) => `${name}=${url}`).join(","),
      "--initial-cluster-state": datastore.initialCluster.state,
      "--key-file": pki.etcdServer.key,
      "--listen-client-urls": alone !== undefined || isLoopback(address) ? local : `${client},${local}`,
      "--listen-peer-urls": alone === undefined ? peer : localPeer,
      "--name": node.name,
      "--peer-auto-tls": "false",
      "--peer-cert-file": pki.etcdPeer.crt,
      "--peer-client-cert-auth": "true",
      "--peer-key-file": pki.etcdPeer.key,
      "--peer-trusted-ca-file": pki.etcdCa.crt,
      // etcd's own check refuses every new member while one is down; members come as learners, and what leaves is checked
      // before etcd is asked (datastore/etcd-members.ts).
      "--strict-reconfig-check": "false",
      "--trusted-ca-file": pki.etcdCa.crt,
      ...(alone === undefined || alone.forced ? {} : hastyUnlessChosen(node.extraArgs.etcd ?? {})),
    },
  });
  return { service, files: [], directories: [{ path: paths.etcd, mode: 0o700 }] };
}

export const etcd: ComponentSpec = {
  name: "etcd",
  wanted: (node) => node.role === "control-plane" && node.datastore.engine === "etcd",
  render: (node) => render(node),
  ready: (node, signal) => datastoreReady("etcd", node, signal),
  reloads: "by itself",
};

/** The member of a recovery: it takes up a copy of the data without asking who else belongs to it. */
export function recoveringEtcd(dataDir: string): ComponentSpec {
  return { ...etcd, render: (node) => render(node, { dataDir, forced: true }) };
}

/** The only member of a cluster, on loopback alone: on another port than its own it runs beside another engine. */
export function secludedEtcd(dataDir: string): ComponentSpec {
  return { ...etcd, render: (node) => render(node, { dataDir, forced: false }) };
}
