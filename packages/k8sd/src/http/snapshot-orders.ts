import type { SnapshotStore } from "@k8sd/api-types";

export interface SaveSnapshotOrder {
  /** "" = the node's own. */
  readonly directory: string;
  /** True: to the cluster's store. */
  readonly store: boolean;
  /** 0 = all are kept. */
  readonly keep: number;
  /** 0 = the domain's own ceiling. */
  readonly timeoutMs: number;
}

export interface FetchOrder {
  readonly name: string;
  /** "" = the node's own. */
  readonly directory: string;
  /** Undefined: the cluster's store. */
  readonly at?: SnapshotStore | undefined;
  /** 0 = the domain's own ceiling. */
  readonly timeoutMs: number;
}

export interface RestoreOrder {
  /** On this node. */
  readonly path: string;
  /** The content of the operator's key file. */
  readonly key: string;
  /** For a machine that belongs to no cluster, as name and address are; "" = as the snapshot has it. */
  readonly engine: "" | "sqlite" | "etcd";
  readonly name: string;
  readonly address: string;
  readonly force: boolean;
  /** 0 = the domain's own ceiling. */
  readonly timeoutMs: number;
}
