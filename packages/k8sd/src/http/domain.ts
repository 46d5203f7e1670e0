import type {
  AdvanceRequest,
  ClusterEpoch,
  ClusterStatus,
  DatastoreCopy,
  DatastoreReport,
  DeadMembersResponse,
  Empty,
  GetClusterConfigResponse,
  GetOperationResponse,
  JoinToken,
  ListMembersResponse,
  ListSnapshotsRequest,
  ListSnapshotsResponse,
  LocalNodeStatus,
  MembersMovedRequest,
  MeshStatus,
  MigrateResponse,
  MoveMemberRequest,
  MoveMemberResponse,
  NodeStatus,
  OperationEvent,
  OperationStatus,
  PrepareRequest,
  PrepareResponse,
  RecoverResponse,
  RecoveryPlan,
  ReserveRequest,
  ReserveResponse,
  RestorePlan,
  RestoreResponse,
  SealKeyState,
  SealKeysResponse,
  SetAddressResponse,
  SetSnapshotStoreRequest,
  Snapshot,
  SnapshotKeyRequest,
  SnapshotKeyResponse,
  SnapshotScheduleRequest,
  SnapshotScheduleStatus,
  SnapshotStoreStatus,
  StandingResponse,
} from "@k8sd/api-types";
import type { SetAddressOrder } from "../cluster/address/address.ts";
import type { Asker } from "../cluster/audited.ts";
import type { TokenUser } from "../cluster/auth-tokens.ts";
import type { BootstrapOrder } from "../cluster/cluster.ts";
import type { JoinOrder } from "../cluster/join/prepare.ts";
import type { LeaveOrder } from "../cluster/leave/leave.ts";
import type { MigrateOrder } from "../cluster/migrate/migrate.ts";
import type { RecoverOrder } from "../cluster/recover/recovery.ts";
import type { RemoveOrder } from "../cluster/remove/remove.ts";
import type { FetchOrder } from "../cluster/snapshot/fetch.ts";
import type { RestoreOrder } from "../cluster/snapshot/restore.ts";
import type { SaveOrder } from "../cluster/snapshot/snapshots.ts";
import type { TokenOrder } from "../cluster/tokens.ts";

/** Texts that clients match on; all but "online" refuse what is not allowed before init. */
export type DatabaseStatus =
  | "Database is online"
  | "Database is waiting for an upgrade"
  | "Database is still starting"
  | "Database is not yet initialized"
  | "Database is offline";

export interface OperationRun<R> {
  readonly id: string;
  /** From the first event on, also for a reader that comes late. Ends when the operation ends. */
  readonly events: AsyncIterable<OperationEvent>;
  readonly result: Promise<R>;
}

export interface Caller extends Asker {
  /** SHA-256 of the public key (SPKI, DER) that it proved; only where nobody else asks who it is. */
  readonly key?: string;
}

interface Asked {
  readonly requestId: string;
  readonly caller: Caller;
}

/**
 * All that the transports ask of the daemon. Reads take the caller's signal (it ends with the connection, the deadline or
 * the daemon). What starts an operation takes none: a caller that goes away does not stop a change, `cancel` does.
 */
export interface Domain {
  databaseStatus(): DatabaseStatus;
  /** Startup is finished; also true on a node that is not bootstrapped. */
  ready(): boolean;
  /** Name, and `ip:port` when initialised ("" before). */
  identity(): { readonly name: string; readonly address: string };
  /** As `trustedKeys`, of the workers: whoever has broken into one must not have the cluster with it. */
  workerKeys(): ReadonlySet<string>;
  /** May throw when it cannot be told. */
  isWorker(): boolean;
  /** SHA-256 of each member's public key (SPKI, DER), lower-case hex: of this node and the control planes, who may do all. */
  trustedKeys(): ReadonlySet<string>;
  /** Whether this is the id of a node in the cluster, or on its way in or out, as this node last heard. */
  isMember(id: string): boolean;
  /** SHA-256 of the token that this header must carry; undefined when none is set. Throws when it cannot be read. */
  headerTokenHash(header: "capi-auth-token" | "node-token", signal: AbortSignal): Promise<Uint8Array | undefined>;

  clusterStatus(signal: AbortSignal): Promise<ClusterStatus>;
  localNode(signal: AbortSignal): Promise<LocalNodeStatus>;
  /** Tries once more what cannot be reached, to say why. */
  mesh(signal: AbortSignal): Promise<MeshStatus>;
  /** The configuration is not validated yet. Throws (or rejects with) AppError; kind "already-initialised" is answered specially. */
  bootstrap(order: BootstrapOrder, options: { readonly requestId: string }): OperationRun<NodeStatus>;
  /** Kind "already-initialised": the node belongs to a cluster. */
  join(order: JoinOrder, options: { readonly requestId: string }): OperationRun<Empty>;
  /** Whom this node takes for dead. */
  deadMembers(): DeadMembersResponse;
  /** Takes another node out, or this one. One that is out already is no error. */
  removeNode(order: RemoveOrder, options: { readonly requestId: string }): OperationRun<Empty>;
  leave(order: LeaveOrder, options: { readonly requestId: string }): OperationRun<Empty>;
  /** `server` "" = this node's API server. Gives the YAML text. */
  kubeconfig(server: string, signal: AbortSignal): Promise<string>;
  clusterConfig(signal: AbortSignal): Promise<GetClusterConfigResponse>;
  setCapiAuthToken(token: string, signal: AbortSignal): Promise<void>;

  readonly authTokens: {
    /** The same user with the same groups gets the same token. */
    create(user: TokenUser, signal: AbortSignal): Promise<string>;
    /** An unknown token is no error. */
    revoke(token: string, signal: AbortSignal): Promise<void>;
    check(token: string, signal: AbortSignal): Promise<TokenUser | undefined>;
  };

  readonly members: {
    list(signal: AbortSignal): Promise<ListMembersResponse>;
    /** What has to be done before such a node can have a place. */
    prepare(request: PrepareRequest, caller: Caller, signal: AbortSignal): Promise<PrepareResponse>;
    /** A place for the node that proved this key. */
    reserve(request: ReserveRequest, caller: Caller, signal: AbortSignal): Promise<ReserveResponse>;
    advance(request: AdvanceRequest, caller: Caller, signal: AbortSignal): Promise<void>;
    /** What the ledger says of the node that proved this key. */
    standing(caller: Caller, signal: AbortSignal): Promise<StandingResponse>;
  };

  readonly joinTokens: {
    /** The token as the node that joins gets it. Kind "conflict": the name belongs to a member. */
    create(order: TokenOrder, caller: Caller, signal: AbortSignal): Promise<string>;
    list(signal: AbortSignal): Promise<readonly JoinToken[]>;
    revoke(id: string, caller: Caller, signal: AbortSignal): Promise<void>;
  };

  readonly address: {
    setAddress(order: SetAddressOrder, options: Asked): OperationRun<SetAddressResponse>;
  };

  /** Of other members. */
  readonly moves: {
    /** For the member that proved this key. */
    move(request: MoveMemberRequest, caller: Caller, signal: AbortSignal): Promise<MoveMemberResponse>;
    moved(request: MembersMovedRequest): Promise<void>;
  };

  readonly recovery: {
    epoch(): ClusterEpoch;
    copy(signal: AbortSignal): Promise<DatastoreCopy>;
    plan(signal: AbortSignal): Promise<RecoveryPlan>;
    /** Kind "conflict": it should not be done, or not on this node. */
    recover(order: RecoverOrder, options: Asked): OperationRun<RecoverResponse>;
  };

  readonly migration: {
    report(signal: AbortSignal): Promise<DatastoreReport>;
    /** In the text format of Prometheus. */
    metrics(signal: AbortSignal): Promise<string>;
    /** Kind "conflict": something speaks against it; all of it is said. */
    migrate(order: MigrateOrder, options: { readonly requestId: string }): OperationRun<MigrateResponse>;
  };

  readonly sealKey: {
    rotate(caller: Caller, signal: AbortSignal): Promise<SealKeyState>;
    /** Kind "forbidden": it is no control plane. */
    keysFor(caller: Caller): Promise<SealKeysResponse>;
  };

  readonly snapshots: {
    /** Kind "conflict": there is one. */
    createKey(request: SnapshotKeyRequest, signal: AbortSignal): Promise<SnapshotKeyResponse>;
    list(request: ListSnapshotsRequest, signal: AbortSignal): Promise<ListSnapshotsResponse>;
    save(order: SaveOrder, options: { readonly requestId: string }): OperationRun<Snapshot>;
    /** From a store to this node, also where it belongs to no cluster. */
    fetch(order: FetchOrder, options: { readonly requestId: string }): OperationRun<Snapshot>;
    store(signal: AbortSignal): Promise<SnapshotStoreStatus>;
    /** It is written to and read from before it is recorded. */
    setStore(request: SetSnapshotStoreRequest, signal: AbortSignal): Promise<void>;
    schedule(signal: AbortSignal): Promise<SnapshotScheduleStatus>;
    setSchedule(request: SnapshotScheduleRequest, signal: AbortSignal): Promise<void>;
    /** What a restore on this node would do; `force` counts for nothing. */
    planRestore(order: RestoreOrder, signal: AbortSignal): Promise<RestorePlan>;
    restore(order: RestoreOrder, options: { readonly requestId: string }): OperationRun<RestoreResponse>;
  };

  readonly operations: {
    list(): readonly OperationStatus[];
    get(id: string): GetOperationResponse | undefined;
    /** The running operation, or a replay of an ended one. */
    follow(id: string): OperationRun<unknown> | undefined;
    /** False: it is over, or past its point of no return. */
    cancel(id: string): boolean;
  };
}
