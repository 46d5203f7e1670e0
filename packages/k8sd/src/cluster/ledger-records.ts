import type { Role } from "../components/component.ts";
import type { Revision } from "../datastore/datastore.ts";

/** What the cluster is. A new epoch begins when it was recovered from fewer members than make a majority. */
export interface ClusterRecord {
  readonly id: string;
  readonly epoch: number;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
  /** How this epoch began; absent in the first. */
  readonly recovery?: RecoveryRecord;
}

/** Of two recoveries that gave the same epoch, both sides choose the same by this. */
export interface RecoveryRecord {
  readonly id: string;
  /** Name of the node whose copy was chosen. */
  readonly by: string;
  /** Term and index of that copy's last entry. */
  readonly term: number;
  readonly index: number;
  readonly at: number;
}

export type MemberState =
  /** A token and the name are held for it; nothing else exists. */
  | "reserved"
  /** It has its certificates and sets itself up. */
  | "joining"
  | "active"
  /** What was derived from the record is being taken away. */
  | "leaving"
  /** A tombstone: it says that this node is out, until it is old enough to be forgotten. */
  | "removed";

/** How a member that is leaving goes out. */
export interface Removal {
  /** True: its pods are not asked to go elsewhere first. */
  readonly force: boolean;
  /** Until then whoever ordered it is at it; after that any control plane goes on. Milliseconds since the Unix epoch. */
  readonly until: number;
}

/** One node. Everything else that is known of it (etcd member, Kubernetes Node, certificates) is derived from this. */
export interface MemberRecord {
  /** A UUID that the node gave itself. */
  readonly id: string;
  readonly name: string;
  /** SHA-256 of its public key (SPKI, DER), lower case hex. "" when it was not recorded. */
  readonly publicKeyFingerprint: string;
  /** Its id in the mesh; absent until it has said it. */
  readonly meshPeer?: string;
  readonly addresses: readonly string[];
  /** `ip:port` of its k8sd. */
  readonly k8sdAddress: string;
  readonly role: Role;
  readonly state: MemberState;
  /** 1 for its first time in the cluster, one more with each time that it comes back under the same id. */
  readonly incarnation: number;
  /** Of what runs there, by name: `k8sd`, `kubernetes`. */
  readonly versions: Readonly<Record<string, string>>;
  /** Which part of the pod range is its own; absent on a tombstone. */
  readonly podSubnetIndex?: number;
  /** Of a member that is leaving. */
  readonly removal?: Removal;
  /** Id of the token it came with; absent for the founder. */
  readonly token?: string;
  /** Of its state. Milliseconds since the Unix epoch. */
  readonly changedAt: number;
  /** Of the datastore, when this was written; for the next compare-and-swap. */
  readonly revision: Revision;
}

/** As it is stored: the datastore itself knows the revision. */
export type StoredMember = Omit<MemberRecord, "revision">;

export const clusterKey = "k8sd/cluster";
export const configKey = "k8sd/config";
export const membersPrefix = "k8sd/members/";
/** One key per name: two nodes cannot have the same one, because the second cannot create it. */
export const namesPrefix = "k8sd/names/";
/** One key per part of the pod range that a node owns, with the node's id. */
export const podSubnetsPrefix = "k8sd/pod-subnets/";

export const memberKey = (id: string): string => membersPrefix + id;
export const nameKey = (name: string): string => namesPrefix + name;
/** Padded, so that keys and numbers have the same order. */
export const podSubnetKey = (index: number): string => podSubnetsPrefix + String(index).padStart(8, "0");
