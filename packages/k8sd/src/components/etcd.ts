import { join } from "node:path";
import { AppError } from "../lib/app-error.ts";
import { hostPort, isLoopback } from "./address.ts";
import { pkiFiles } from "./certificates.ts";
import type { ComponentSpec, NodeView } from "./component.ts";
import { datastoreReady } from "./k8s-datastore.ts";
import { componentService } from "./service.ts";

/** Members find each other again and replay their log; a large one on a slow disk takes its time. */
const stopSeconds = 60;

function render(node: NodeView) {
  const { paths, datastore } = node;
  const address = node.addresses[0];
  if (datastore.engine !== "etcd" || address === undefined) {
    throw new AppError("internal", "cannot render etcd: the node does not run it or has no address");
  }
  const pki = pkiFiles(paths);
  const client = `https://${hostPort(address, datastore.clientPort)}`;
  const local = `https://${hostPort(node.loopback, datastore.clientPort)}`;
  const peer = `https://${hostPort(address, datastore.peerPort)}`;
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
      "--data-dir": join(paths.etcd, "data"),
      // The gateway would call its own server with the server's certificate, which is none for clients; nobody uses it.
      "--enable-grpc-gateway": "false",
      "--initial-advertise-peer-urls": peer,
      "--initial-cluster": peers.map(([name, url]) => `${name}=${url}`).join(","),
      "--initial-cluster-state": datastore.initialCluster.state,
      "--key-file": pki.etcdServer.key,
      "--listen-client-urls": isLoopback(address) ? client : `${client},${local}`,
      "--listen-peer-urls": peer,
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
    },
  });
  return { service, files: [], directories: [{ path: paths.etcd, mode: 0o700 }] };
}

export const etcd: ComponentSpec = {
  name: "etcd",
  wanted: (node) => node.role === "control-plane" && node.datastore.engine === "etcd",
  render,
  ready: (node, signal) => datastoreReady("etcd", node, signal),
  reloads: "by itself",
};
