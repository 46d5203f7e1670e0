import { z } from "zod";
import * as address from "./address.ts";
import * as tokens from "./auth-tokens.ts";
import { empty } from "./bounds.ts";
import * as certificates from "./certificates.ts";
import * as cluster from "./cluster.ts";
import * as config from "./cluster-config.ts";
import { serverStatus } from "./core.ts";
import * as joinTokens from "./join-tokens.ts";
import * as members from "./members.ts";
import { meshStatus } from "./mesh.ts";
import * as migration from "./migration.ts";
import { localNodeStatus, nodeStatus } from "./node.ts";
import * as operation from "./operation.ts";
import * as recovery from "./recovery.ts";
import * as snap from "./snap.ts";
import * as snapshots from "./snapshots.ts";

export type Method = "GET" | "PUT" | "POST" | "DELETE" | "PATCH";

export type AccessRule =
  /** Unix socket, or a control plane's certificate on the node's own address. */
  | "trusted"
  /** Trusted, and refused on workers. */
  | "trusted-control-plane"
  /** As trusted, and also with a worker's certificate: for what every node may know. */
  | "member"
  /** On a worker the control socket alone: the contract refuses others there. */
  | "local-or-control-plane"
  /** Trusted, or with a bearer token of a user in the group system:monitoring; refused on workers. */
  | "monitoring"
  /** Anyone with this header, over the socket too. */
  | "capi-auth-token"
  | "node-token"
  | "worker-token"
  /** No check here: the endpoint tells nothing secret or checks a secret in the body. */
  | "anyone";

export interface EndpointSpec<Req extends z.ZodType = z.ZodType, Res extends z.ZodType = z.ZodType> {
  readonly method: Method;
  /** `{id}` stands for one path segment. */
  readonly path: `/${string}`;
  /** undefined: the body is not read. */
  readonly request: Req | undefined;
  readonly response: Res;
  readonly access: AccessRule;
  /** Usable before bootstrap or join. */
  readonly beforeInit: boolean;
  /** Unknown keys in the body are an error. */
  readonly strict: boolean;
}

function endpoint<Req extends z.ZodType, Res extends z.ZodType>(
  method: Method,
  path: `/${string}`,
  rules: { access: AccessRule; beforeInit?: true; strict?: false; request?: Req; response: Res },
): EndpointSpec<Req, Res> {
  const { access, beforeInit = false, strict = true, request, response } = rules;
  return { method, path, request, response, access, beforeInit, strict };
}

/** The whole API as data. Numbers are the contract's; the rest is its core API and ours. */
export const endpoints = {
  /* 1 */ clusterStatus: endpoint("GET", "/1.0/k8sd/cluster", {
    access: "local-or-control-plane",
    beforeInit: true,
    response: cluster.getClusterStatusResponse,
  }),
  /* 2 */ bootstrap: endpoint("POST", "/1.0/k8sd/cluster", {
    access: "trusted",
    beforeInit: true,
    request: cluster.bootstrapRequest,
    response: nodeStatus,
  }),
  /* 3 */ localNode: endpoint("GET", "/1.0/k8sd/node", { access: "trusted", response: localNodeStatus }),
  /* 4 */ createJoinToken: endpoint("POST", "/1.0/k8sd/cluster/tokens", {
    access: "trusted-control-plane",
    request: joinTokens.joinTokenRequest,
    response: joinTokens.joinTokenResponse,
  }),
  /* 5 */ join: endpoint("POST", "/1.0/k8sd/cluster/join", {
    access: "trusted",
    beforeInit: true,
    request: cluster.joinRequest,
    response: empty,
  }),
  /* 6 */ removeNode: endpoint("POST", "/1.0/k8sd/cluster/remove", {
    access: "trusted-control-plane",
    request: cluster.removeNodeRequest,
    response: empty,
  }),
  /* 7 */ workerInfo: endpoint("POST", "/1.0/k8sd/worker/info", {
    access: "worker-token",
    request: cluster.workerInfoRequest,
    response: cluster.workerInfoResponse,
  }),
  /* 8 */ refreshCertificatesPlan: endpoint("POST", "/1.0/k8sd/refresh-certs/plan", {
    access: "trusted",
    request: certificates.refreshCertificatesPlanRequest,
    response: certificates.refreshCertificatesPlanResponse,
  }),
  /* 9 */ refreshCertificatesRun: endpoint("POST", "/1.0/k8sd/refresh-certs/run", {
    access: "trusted",
    request: certificates.refreshCertificatesRunRequest,
    response: certificates.refreshCertificatesRunResponse,
  }),
  /* 10 */ refreshCertificatesUpdate: endpoint("POST", "/1.0/k8sd/refresh-certs/update", {
    access: "trusted",
    request: certificates.refreshCertificatesUpdateRequest,
    response: empty,
  }),
  /* 11 */ certificatesStatus: endpoint("GET", "/1.0/k8sd/certs-status", {
    access: "trusted",
    response: certificates.certificatesStatusResponse,
  }),
  /* 12 */ kubeconfig: endpoint("GET", "/1.0/k8sd/kubeconfig", {
    access: "trusted-control-plane",
    request: certificates.kubeconfigRequest,
    response: certificates.kubeconfigResponse,
  }),
  /* 13 */ clusterConfig: endpoint("GET", "/1.0/k8sd/cluster/config", {
    access: "trusted-control-plane",
    response: config.getClusterConfigResponse,
  }),
  /* 14 */ updateClusterConfig: endpoint("PUT", "/1.0/k8sd/cluster/config", {
    access: "trusted-control-plane",
    request: config.updateClusterConfigRequest,
    response: empty,
  }),
  /* 15 */ createAuthToken: endpoint("POST", "/1.0/kubernetes/auth/tokens", {
    access: "trusted",
    strict: false,
    request: tokens.createAuthTokenRequest,
    response: tokens.createAuthTokenResponse,
  }),
  /* 16 */ revokeAuthToken: endpoint("DELETE", "/1.0/kubernetes/auth/tokens", {
    access: "trusted",
    strict: false,
    request: tokens.revokeAuthTokenRequest,
    response: z.null(),
  }),
  /* 17: no envelope */ reviewToken: endpoint("POST", "/1.0/kubernetes/auth/webhook", {
    access: "anyone",
    strict: false,
    request: tokens.tokenReview,
    response: tokens.tokenReview,
  }),
  /* no envelope */ reviewNodeAccess: endpoint("POST", "/1.0/kubernetes/auth/node-webhook", {
    access: "anyone",
    strict: false,
    request: tokens.subjectAccessReview,
    response: tokens.subjectAccessReview,
  }),
  /* 18 */ capiCreateJoinToken: endpoint("POST", "/1.0/x/capi/generate-join-token", {
    access: "capi-auth-token",
    request: joinTokens.joinTokenRequest,
    response: joinTokens.joinTokenResponse,
  }),
  /* 19 */ setCapiAuthToken: endpoint("POST", "/1.0/x/capi/set-auth-token", {
    access: "trusted",
    strict: false,
    request: tokens.setCapiAuthTokenRequest,
    response: empty,
  }),
  /* 20 */ capiRemoveNode: endpoint("POST", "/1.0/x/capi/remove-node", {
    access: "capi-auth-token",
    request: cluster.removeNodeRequest,
    response: empty,
  }),
  /* 21 */ capiCertificatesExpiry: endpoint("POST", "/1.0/x/capi/certificates-expiry", {
    access: "node-token",
    response: certificates.certificatesExpiryResponse,
  }),
  /* 22 */ capiRefreshCertificatesPlan: endpoint("POST", "/1.0/x/capi/refresh-certs/plan", {
    access: "node-token",
    request: certificates.refreshCertificatesPlanRequest,
    response: certificates.refreshCertificatesPlanResponse,
  }),
  /* 23 */ capiRefreshCertificatesRun: endpoint("POST", "/1.0/x/capi/refresh-certs/run", {
    access: "node-token",
    request: certificates.refreshCertificatesRunRequest,
    response: certificates.refreshCertificatesRunResponse,
  }),
  /* 24 */ capiApproveCertificates: endpoint("POST", "/1.0/x/capi/refresh-certs/approve", {
    access: "capi-auth-token",
    request: certificates.approveCertificatesRequest,
    response: empty,
  }),
  /* 25 */ snapRefresh: endpoint("POST", "/1.0/snap/refresh", {
    access: "node-token",
    request: snap.snapRefreshRequest,
    response: snap.snapRefreshResponse,
  }),
  /* 26 */ snapRefreshStatus: endpoint("POST", "/1.0/snap/refresh-status", {
    access: "node-token",
    request: snap.snapRefreshStatusRequest,
    response: snap.snapRefreshStatusResponse,
  }),

  /** What lives below: clients probe it for a decodable answer. */
  root: endpoint("GET", "/", { access: "anyone", beforeInit: true, response: z.array(z.string()) }),
  serverStatus: endpoint("GET", "/core/1.0", { access: "anyone", beforeInit: true, response: serverStatus }),
  serverReady: endpoint("GET", "/core/1.0/ready", { access: "trusted", beforeInit: true, response: empty }),

  listJoinTokens: endpoint("GET", "/1.0/k8sd/cluster/tokens", {
    access: "trusted-control-plane",
    response: joinTokens.listJoinTokensResponse,
  }),
  revokeJoinToken: endpoint("DELETE", "/1.0/k8sd/cluster/tokens/{id}", {
    access: "trusted-control-plane",
    response: empty,
  }),

  meshStatus: endpoint("GET", "/1.0/k8sd/mesh", { access: "trusted", response: meshStatus }),

  listMembers: endpoint("GET", "/1.0/k8sd/members", { access: "member", response: members.listMembersResponse }),
  /** Each control plane has its own opinion. */
  deadMembers: endpoint("GET", "/1.0/k8sd/members/dead", {
    access: "trusted-control-plane",
    response: members.deadMembersResponse,
  }),
  /** The secret of a join token is in the body. */
  reserveMember: endpoint("POST", "/1.0/k8sd/members/reserve", {
    access: "anyone",
    request: members.reserveRequest,
    response: members.reserveResponse,
  }),
  /** Likewise. */
  prepareMember: endpoint("POST", "/1.0/k8sd/members/prepare", {
    access: "anyone",
    request: members.prepareRequest,
    response: members.prepareResponse,
  }),
  /** For whoever proves a key. */
  memberStanding: endpoint("GET", "/1.0/k8sd/members/self", {
    access: "anyone",
    response: members.standingResponse,
  }),
  leave: endpoint("POST", "/1.0/k8sd/cluster/leave", {
    access: "trusted",
    request: cluster.leaveRequest,
    response: empty,
  }),
  /** For whoever proves the key of a node that has a place. */
  advanceMember: endpoint("POST", "/1.0/k8sd/members/advance", {
    access: "anyone",
    request: members.advanceRequest,
    response: empty,
  }),

  setAddress: endpoint("POST", "/1.0/k8sd/node/address", {
    access: "trusted",
    request: address.setAddressRequest,
    response: address.setAddressResponse,
  }),
  /** For whoever proves the key of a member. */
  moveMember: endpoint("POST", "/1.0/k8sd/members/move", {
    access: "anyone",
    request: address.moveMemberRequest,
    response: address.moveMemberResponse,
  }),
  membersMoved: endpoint("POST", "/1.0/k8sd/members/addresses", {
    access: "trusted",
    request: address.membersMovedRequest,
    response: empty,
  }),
  /** For the other control planes. */
  datastoreCopy: endpoint("GET", "/1.0/k8sd/cluster/copy", {
    access: "trusted-control-plane",
    response: recovery.datastoreCopy,
  }),
  clusterEpoch: endpoint("GET", "/1.0/k8sd/cluster/epoch", {
    access: "trusted-control-plane",
    response: recovery.clusterEpoch,
  }),
  recoveryPlan: endpoint("GET", "/1.0/k8sd/cluster/recovery", {
    access: "trusted-control-plane",
    response: recovery.recoveryPlan,
  }),
  recover: endpoint("POST", "/1.0/k8sd/cluster/recovery", {
    access: "trusted-control-plane",
    request: recovery.recoverRequest,
    response: recovery.recoverResponse,
  }),

  /** For Prometheus: no envelope. */
  metrics: endpoint("GET", "/metrics", { access: "monitoring", response: z.string() }),
  datastoreStatus: endpoint("GET", "/1.0/k8sd/datastore", {
    access: "trusted-control-plane",
    response: migration.datastoreReport,
  }),
  migrateDatastore: endpoint("POST", "/1.0/k8sd/datastore/migration", {
    access: "trusted-control-plane",
    request: migration.migrateRequest,
    response: migration.migrateResponse,
  }),
  rotateSealKey: endpoint("POST", "/1.0/k8sd/datastore/seal-key", {
    access: "trusted-control-plane",
    response: migration.sealKeyState,
  }),
  /** The caller's key decides: control planes alone. */
  sealKeys: endpoint("GET", "/1.0/k8sd/datastore/seal-key", {
    access: "anyone",
    response: migration.sealKeysResponse,
  }),

  createSnapshotKey: endpoint("POST", "/1.0/k8sd/snapshots/key", {
    access: "trusted-control-plane",
    request: snapshots.snapshotKeyRequest,
    response: snapshots.snapshotKeyResponse,
  }),
  listSnapshots: endpoint("GET", "/1.0/k8sd/snapshots", {
    access: "trusted-control-plane",
    beforeInit: true,
    request: snapshots.listSnapshotsRequest,
    response: snapshots.listSnapshotsResponse,
  }),
  saveSnapshot: endpoint("POST", "/1.0/k8sd/snapshots", {
    access: "trusted-control-plane",
    request: snapshots.saveSnapshotRequest,
    response: snapshots.snapshot,
  }),
  fetchSnapshot: endpoint("POST", "/1.0/k8sd/snapshots/fetch", {
    access: "trusted-control-plane",
    beforeInit: true,
    request: snapshots.fetchSnapshotRequest,
    response: snapshots.snapshot,
  }),
  snapshotStore: endpoint("GET", "/1.0/k8sd/snapshots/store", {
    access: "trusted-control-plane",
    response: snapshots.snapshotStoreStatus,
  }),
  setSnapshotStore: endpoint("PUT", "/1.0/k8sd/snapshots/store", {
    access: "trusted-control-plane",
    request: snapshots.setSnapshotStoreRequest,
    response: empty,
  }),
  snapshotSchedule: endpoint("GET", "/1.0/k8sd/snapshots/schedule", {
    access: "trusted-control-plane",
    response: snapshots.snapshotScheduleStatus,
  }),
  setSnapshotSchedule: endpoint("PUT", "/1.0/k8sd/snapshots/schedule", {
    access: "trusted-control-plane",
    request: snapshots.snapshotScheduleRequest,
    response: empty,
  }),
  planRestore: endpoint("POST", "/1.0/k8sd/snapshots/restore/plan", {
    access: "trusted",
    beforeInit: true,
    request: snapshots.restorePlanRequest,
    response: snapshots.restorePlan,
  }),
  restoreSnapshot: endpoint("POST", "/1.0/k8sd/snapshots/restore", {
    access: "trusted",
    beforeInit: true,
    request: snapshots.restoreRequest,
    response: snapshots.restoreResponse,
  }),

  listOperations: endpoint("GET", "/1.0/k8sd/operations", {
    access: "trusted",
    beforeInit: true,
    response: operation.listOperationsResponse,
  }),
  getOperation: endpoint("GET", "/1.0/k8sd/operations/{id}", {
    access: "trusted",
    beforeInit: true,
    response: operation.getOperationResponse,
  }),
  cancelOperation: endpoint("DELETE", "/1.0/k8sd/operations/{id}", {
    access: "trusted",
    beforeInit: true,
    response: empty,
  }),
} as const satisfies Record<string, EndpointSpec>;

export type EndpointName = keyof typeof endpoints;
type Spec<N extends EndpointName> = (typeof endpoints)[N];
/** What a handler gets: undefined when the endpoint reads no body. */
export type RequestOf<N extends EndpointName> =
  Spec<N> extends EndpointSpec<infer R, z.ZodType> ? (z.ZodType extends R ? undefined : z.output<R>) : never;
/** What callers send. */
export type RequestInputOf<N extends EndpointName> =
  Spec<N> extends EndpointSpec<infer R, z.ZodType> ? (z.ZodType extends R ? undefined : z.input<R>) : never;
export type ResponseOf<N extends EndpointName> = Spec<N> extends EndpointSpec<z.ZodType, infer R> ? z.output<R> : never;
