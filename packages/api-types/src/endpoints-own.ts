import { z } from "zod";
import * as address from "./address.ts";
import * as tokens from "./auth-tokens.ts";
import { empty } from "./bounds.ts";
import * as cluster from "./cluster.ts";
import { type EndpointSpec, endpoint } from "./endpoint.ts";
import * as joinTokens from "./join-tokens.ts";
import * as members from "./members.ts";
import { meshStatus } from "./mesh.ts";
import * as migration from "./migration.ts";
import * as operation from "./operation.ts";
import * as recovery from "./recovery.ts";
import * as snapshots from "./snapshots.ts";

/** What is beyond the contract. */
export const ownEndpoints = {
  /** For kube-apiserver, without the envelope. */
  reviewNodeAccess: endpoint("POST", "/1.0/kubernetes/auth/node-webhook", {
    access: "anyone",
    strict: false,
    request: tokens.subjectAccessReview,
    response: tokens.subjectAccessReview,
  }),

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
