export type NodeRole = "control-plane" | "worker";

/** What certificates say about a node. Comes from the node's own record, never from a request. */
export interface NodeIdentity {
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
