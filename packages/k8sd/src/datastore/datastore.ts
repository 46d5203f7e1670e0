/** A revision of the whole store; safe as a number up to 2^53. */
export type Revision = number;

/** A string stands for its UTF-8 bytes. */
export type Key = string | Uint8Array;

export type KeyRange =
  | { readonly key: Key }
  | { readonly prefix: Key }
  /** Half open: from is in, end is not. */
  | { readonly from: Key; readonly end: Key };

export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** 1 for a new key, one more with each put. */
  readonly version: number;
  /** 0n: none. */
  readonly lease: bigint;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** How long this call may take, in milliseconds. */
  readonly timeoutMs?: number;
}

export interface RangeSelection {
  /** 0 or absent: now. */
  readonly revision?: Revision;
  readonly limit?: number;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  /** True: one member may answer from what it has; otherwise the answer is linearizable. */
  readonly serializable?: boolean;
  readonly sort?: { readonly by: "key" | "version" | "create" | "mod" | "value"; readonly order: "ascend" | "descend" };
}

export interface RangeOptions extends RangeSelection, CallOptions {}

export interface RangeResult {
  readonly revision: Revision;
  readonly kvs: readonly KeyValue[];
  /** All that match, also beyond the limit. */
  readonly count: number;
  readonly more: boolean;
}

export type Compare =
  | { readonly key: Key; readonly target: "value"; readonly is: CompareSign; readonly to: Key }
  | { readonly key: Key; readonly target: "version" | "create" | "mod"; readonly is: CompareSign; readonly to: number }
  | { readonly key: Key; readonly target: "lease"; readonly is: CompareSign; readonly to: bigint };

export type CompareSign = "=" | "!=" | "<" | ">";

export type Op =
  | { readonly op: "put"; readonly key: Key; readonly value: Key; readonly lease?: bigint; readonly prevKv?: boolean }
  /** The value stays; without one the whole transaction fails. */
  | { readonly op: "lease"; readonly key: Key; readonly lease: bigint }
  | { readonly op: "delete"; readonly range: KeyRange; readonly prevKv?: boolean }
  | { readonly op: "range"; readonly range: KeyRange; readonly select?: RangeSelection }
  | { readonly op: "txn"; readonly txn: Txn };

/** All compares hold: success runs; otherwise failure. */
export interface Txn {
  readonly compare?: readonly Compare[];
  readonly success?: readonly Op[];
  readonly failure?: readonly Op[];
}

export type OpResult =
  | { readonly op: "put"; readonly prevKv: KeyValue | undefined }
  | { readonly op: "delete"; readonly deleted: number; readonly prevKvs: readonly KeyValue[] }
  | ({ readonly op: "range" } & RangeResult)
  | ({ readonly op: "txn" } & TxnResult);

export interface TxnResult {
  readonly revision: Revision;
  readonly succeeded: boolean;
  readonly results: readonly OpResult[];
}

export type WatchEvent =
  | { readonly type: "put"; readonly kv: KeyValue; readonly prevKv: KeyValue | undefined }
  | {
      readonly type: "delete";
      readonly key: Uint8Array;
      readonly revision: Revision;
      readonly prevKv: KeyValue | undefined;
    };

export type WatchBatch =
  | { readonly kind: "events"; readonly revision: Revision; readonly events: readonly WatchEvent[] }
  /** All up to this revision was seen. */
  | { readonly kind: "progress"; readonly revision: Revision }
  /** What was asked for is gone: read the whole range again and watch from there. The watch ends with this. */
  | { readonly kind: "compacted"; readonly compactRevision: Revision };

export interface WatchOptions {
  /** The first revision wanted; 0: from now on. */
  readonly from: Revision;
  readonly signal: AbortSignal;
  readonly prevKv?: boolean;
}

export interface Lease extends AsyncDisposable {
  readonly id: bigint;
  readonly ttlSeconds: number;
  /** Aborts when the lease ended without us: what it guarded is no longer ours. */
  readonly lost: AbortSignal;
}

export interface StatusResult {
  readonly version: string;
  readonly revision: Revision;
  readonly dbSize: number;
  readonly dbSizeInUse: number;
  readonly leader: bigint;
  readonly memberId: bigint;
  readonly isLearner: boolean;
  readonly errors: readonly string[];
}

export interface Member {
  readonly id: bigint;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

/** The one interface to the cluster's state: the etcd v3 API. Engines differ in start-up, never in use. */
export interface Datastore extends AsyncDisposable {
  range(range: KeyRange, options?: RangeOptions): Promise<RangeResult>;
  txn(txn: Txn, options?: CallOptions): Promise<TxnResult>;
  /** Ordered, without gap or double, over disconnects; ends with the signal or with "compacted". */
  watch(range: KeyRange, options: WatchOptions): AsyncIterable<WatchBatch>;
  /** Granted and kept alive until disposed, which revokes it, or until the signal, which leaves it to run out. */
  lease(ttlSeconds: number, signal: AbortSignal): Promise<Lease>;
  compact(revision: Revision, options?: CallOptions & { readonly physical?: boolean }): Promise<void>;
  status(options?: CallOptions): Promise<StatusResult>;
  memberList(options?: CallOptions): Promise<readonly Member[]>;
}
