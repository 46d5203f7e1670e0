import { readFile } from "node:fs/promises";
import { StatusResponse } from "../datastore/gen/etcd.ts";
import { AppError } from "../lib/app-error.ts";
import { poll } from "../lib/wait.ts";
import { apiserverDatastoreName } from "../pki/certificate-table.ts";
import { hostPort } from "./address.ts";
import { pkiFiles } from "./certificates.ts";
import type { ComponentSpec, NodeView } from "./component.ts";
import { grpcCall } from "./grpc-probe.ts";
import { componentService } from "./service.ts";

/** A member that was away replays its log first; a new one answers within a second. */
const readyMs = 60_000;

/** Writes of the whole cluster may wait for it. */
const lookMs = 25;

/** kube-apiserver's objects, and the key by which several of it agree who compacts. Never k8sd's. */
const apiserverKeys = ["/registry/", "compact_rev_key"];

function render(node: NodeView, initialRevision?: number) {
  const { paths, datastore } = node;
  if (datastore.engine !== "sqlite" && datastore.engine !== "postgres") {
    throw new AppError("internal", `cannot render k8s-datastore: the engine is ${datastore.engine}`);
  }
  const pki = pkiFiles(paths);
  const service = componentService(node, {
    name: "k8s-datastore",
    description: "Datastore of the cluster",
    args: {
      "--cert-file": pki.etcdServer.crt,
      "--client-cert-auth": "true",
      "--client-keys": `${apiserverDatastoreName}=${apiserverKeys.join(",")}`,
      "--data-dir": paths.datastore,
      "--database-url-file": datastore.engine === "postgres" ? paths.datastoreUrl : undefined,
      "--initial-revision": initialRevision === undefined ? undefined : String(initialRevision),
      "--key-file": pki.etcdServer.key,
      // Only programs of this node use it: kube-apiserver and k8sd.
      "--listen-client-urls": `https://${hostPort(node.loopback, datastore.clientPort)}`,
      "--name": node.name,
      "--trusted-ca-file": pki.etcdCa.crt,
    },
  });
  return { service, files: [], directories: [{ path: paths.datastore, mode: 0o700 }] };
}

/**
 * Asks the engine for its status over the local endpoint.
 * @param client absent: k8sd's own certificate
 */
export async function datastoreReady(
  name: string,
  node: NodeView,
  signal: AbortSignal,
  client?: { readonly cert: Buffer; readonly key: Buffer },
): Promise<void> {
  const { paths, datastore } = node;
  if (datastore.engine === "external") throw new AppError("internal", "an external datastore is no component");
  const { clientPort } = datastore;
  await poll(
    async (abort) => {
      const [ca, cert, key] = await Promise.all([
        readFile(pkiFiles(paths).etcdCa.crt),
        client?.cert ?? readFile(paths.datastoreClientCert),
        client?.key ?? readFile(paths.datastoreClientKey),
      ]);
      const answer = await grpcCall({
        target: { url: `https://${hostPort(node.loopback, clientPort)}`, ca, cert, key },
        method: "/etcdserverpb.Maintenance/Status",
        signal: abort,
      });
      // Without a leader etcd answers this, but neither reads nor writes.
      if (datastore.engine === "etcd" && StatusResponse.decode(answer).leader === 0n) {
        throw new Error("it has no leader: too few members reach each other");
      }
      return true;
    },
    {
      what: `see ${name} ready`,
      deadlineMs: readyMs,
      intervalMs: lookMs,
      signal,
      remedy: `Look at the log of ${name}.`,
    },
  );
}

export const k8sDatastore: ComponentSpec = {
  name: "k8s-datastore",
  wanted: (node) => node.role === "control-plane" && ["sqlite", "postgres"].includes(node.datastore.engine),
  render: (node) => render(node),
  ready: (node, signal) => datastoreReady("k8s-datastore", node, signal),
  reloads: "restart",
};

/** A new one, for content that comes from another store: all before this revision counts as compacted. */
export function newK8sDatastore(initialRevision: number): ComponentSpec {
  return { ...k8sDatastore, render: (node) => render(node, initialRevision) };
}
