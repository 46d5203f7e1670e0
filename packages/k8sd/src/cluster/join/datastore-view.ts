import type { DatastoreView, NodeView } from "../../components/component.ts";
import { AppError } from "../../lib/app-error.ts";
import { peerUrl } from "./prepare.ts";

export type EtcdView = Extract<DatastoreView, { readonly engine: "etcd" }>;

export function etcdView({ datastore }: NodeView): EtcdView {
  if (datastore.engine === "etcd") return datastore;
  throw new AppError("internal", `cannot join a datastore of the kind ${datastore.engine}`);
}

/** This node as etcd's other members reach it. */
export function ownPeerUrl({ addresses: [address = ""] }: NodeView, { peerPort }: EtcdView): string {
  return peerUrl(address, peerPort);
}
