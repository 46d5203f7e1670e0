export type NodeRole = "control-plane" | "worker";

/** What certificates say about a node. Comes from the node's own record, never from a request. */
export interface NodeIdentity {
  /** In the ledger. */
  readonly id: string;
  readonly nodeName: string;
  /** What the operating system calls the machine; often the node name. */
  readonly hostName: string;
  /** Addresses under which others reach the node, the main one first; loopback is added where it belongs. */
  readonly addresses: readonly string[];
  /** The address of the `kubernetes` Service, one per family. */
  readonly serviceIps: readonly string[];
  readonly clusterDomain: string;
  /** `extra-sans` of the configuration: names and addresses mixed. */
  readonly extraSans: readonly string[];
}

export const nodeUidPrefix = "k8sd.io/node/";

/** Of the user that kube-apiserver sees in a node's client certificate. By it a node that was removed is refused. */
export function nodeUid(id: string): string {
  return `${nodeUidPrefix}${id}`;
}

/** @returns undefined for the UID of another user */
export function nodeIdOfUid(uid: string): string | undefined {
  return uid.startsWith(nodeUidPrefix) ? uid.slice(nodeUidPrefix.length) : undefined;
}
