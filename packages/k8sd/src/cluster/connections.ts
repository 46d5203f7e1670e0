import { readFile } from "node:fs/promises";
import { hostPort } from "../components/address.ts";
import { pkiFiles } from "../components/certificates.ts";
import type { NodeView } from "../components/component.ts";
import type { ClientTls, EtcdClientOptions } from "../datastore/channel.ts";
import { createEtcdClient } from "../datastore/client.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { createKubeClient, type KubeClient } from "../kube/kube-client.ts";
import { AppError } from "../lib/app-error.ts";
import type { EtcdAccess } from "../pki/supplied.ts";

/** Connections of this node to its cluster, made when they are first needed and closed together. */
export interface Connections extends AsyncDisposable {
  datastore(): Promise<Datastore>;
  /** The API server of this node, as its administrator. */
  kube(): Promise<KubeClient>;
}

/** Addresses of other control planes whose etcd holds the same data. */
type Peers = () => readonly string[];

/**
 * k8sd's own connection to the datastore that a node's view names; to that of its peers while its own is away.
 * @param peers absent: to its own alone.
 */
export async function connectDatastore(view: NodeView, peers?: Peers): Promise<Datastore> {
  return createEtcdClient(await datastoreOptions(view, peers));
}

export async function datastoreOptions(view: NodeView, peers: Peers = () => []): Promise<EtcdClientOptions> {
  refuseOnWorker(view, "the datastore");
  const { datastore } = view;
  return {
    endpoints: datastore.endpoints,
    tls: await clientTls(view),
    ...(datastore.engine === "etcd"
      ? { others: () => peers().map((address) => `https://${hostPort(address, datastore.clientPort)}`) }
      : {}),
  };
}

/** As the user gives it; an empty text counts as absent. */
export function tlsOf(access: EtcdAccess): ClientTls {
  const known = {
    ca: access["datastore-ca-crt"],
    cert: access["datastore-client-crt"],
    key: access["datastore-client-key"],
  };
  return Object.fromEntries(Object.entries(known).filter(([, pem]) => pem !== undefined && pem !== ""));
}

/** By what k8sd and the datastore know each other; of an external one, what the user gave. */
export async function clientTls({ paths, datastore }: Pick<NodeView, "paths" | "datastore">): Promise<ClientTls> {
  const pki = pkiFiles(paths);
  const files =
    datastore.engine === "external"
      ? {
          ...(datastore.ca ? { ca: pki.etcdCa.crt } : {}),
          ...(datastore.clientCertificate ? { cert: pki.etcdClient.crt, key: pki.etcdClient.key } : {}),
        }
      : { ca: pki.etcdCa.crt, cert: paths.datastoreClientCert, key: paths.datastoreClientKey };
  const read = Object.entries(files).map(async ([name, path]) => [name, await readFile(path)] as const);
  return Object.fromEntries(await Promise.all(read));
}

async function connectKube(view: NodeView): Promise<KubeClient> {
  refuseOnWorker(view, "the API server as its administrator");
  return createKubeClient(await readFile(view.paths.kubeconfig.admin, "utf8"));
}

function refuseOnWorker({ role }: NodeView, what: string): void {
  if (role !== "worker") return;
  throw new AppError("forbidden", `cannot connect to ${what}: this node is a worker`, {
    remedy: "Ask a control plane.",
  });
}

export function createConnections(view: NodeView, peers: Peers): Connections {
  let datastore: Promise<Datastore> | undefined;
  let kube: Promise<KubeClient> | undefined;
  /** A failed attempt is not kept: the file may be there the next time. */
  const once = <T>(attempt: Promise<T>, forget: () => void): Promise<T> => {
    attempt.catch(forget);
    return attempt;
  };
  return {
    datastore: () => {
      datastore ??= once(connectDatastore(view, peers), () => {
        datastore = undefined;
      });
      return datastore;
    },
    kube: () => {
      kube ??= once(connectKube(view), () => {
        kube = undefined;
      });
      return kube;
    },
    [Symbol.asyncDispose]: async () => {
      const [store, client] = await Promise.allSettled([datastore, kube]);
      if (store.status === "fulfilled") await store.value?.[Symbol.asyncDispose]();
      if (client.status === "fulfilled") client.value?.[Symbol.dispose]();
    },
  };
}
