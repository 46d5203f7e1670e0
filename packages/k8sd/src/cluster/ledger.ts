import type { Role } from "../components/component.ts";
import type { Datastore } from "../datastore/datastore.ts";
import { AppError } from "../lib/app-error.ts";
import type { ClusterConfig } from "./config/types.ts";
import { createRecords } from "./records.ts";

/** What the cluster is. A new epoch begins when it was recovered from fewer members than make a majority. */
export interface ClusterRecord {
  readonly id: string;
  readonly epoch: number;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
}

export type MemberState = "reserved" | "joining" | "active" | "leaving" | "removed";

/** One node. Everything else that is known of it (etcd member, Kubernetes Node, certificates) is derived from this. */
export interface MemberRecord {
  readonly id: string;
  readonly name: string;
  readonly addresses: readonly string[];
  /** `ip:port` of its k8sd. */
  readonly k8sdAddress: string;
  readonly role: Role;
  readonly state: MemberState;
}

export interface Founding {
  readonly cluster: ClusterRecord;
  readonly member: MemberRecord;
  readonly config: ClusterConfig;
}

export interface Ledger {
  /** The first record of a cluster: all of it or nothing, and only in a datastore that holds no cluster. */
  found(founding: Founding, signal: AbortSignal): Promise<void>;
  cluster(signal: AbortSignal): Promise<ClusterRecord | undefined>;
  members(signal: AbortSignal): Promise<readonly MemberRecord[]>;
  config(signal: AbortSignal): Promise<ClusterConfig | undefined>;
}

const clusterKey = "k8sd/cluster";
const configKey = "k8sd/config";
const membersPrefix = "k8sd/members/";
/** One key per name: two nodes cannot have the same one, because the second cannot create it. */
const namesPrefix = "k8sd/names/";

/** Typed records over the datastore; nobody else knows their keys. */
export function createLedger(datastore: Datastore): Ledger {
  const records = createRecords(datastore);
  return {
    found: async ({ cluster, member, config }, signal) => {
      const founded = await records.createAll(
        {
          [clusterKey]: cluster,
          [configKey]: config,
          [`${membersPrefix}${member.id}`]: member,
          [`${namesPrefix}${member.name}`]: member.id,
        },
        signal,
      );
      if (founded) return;
      const existing = await records.get<ClusterRecord>(clusterKey, signal);
      // The answer to an earlier attempt of ours may have been lost.
      if (existing?.id === cluster.id) return;
      throw new AppError(
        "conflict",
        `cannot record the cluster: the datastore holds another one, ${existing?.id ?? "unknown"}`,
        {
          field: "datastore-servers",
          remedy: "Use an empty datastore, or one whose keys below k8sd/ and /registry may be deleted and are.",
        },
      );
    },
    cluster: (signal) => records.get<ClusterRecord>(clusterKey, signal),
    members: (signal) => records.list<MemberRecord>(membersPrefix, signal),
    config: (signal) => records.get<ClusterConfig>(configKey, signal),
  };
}
