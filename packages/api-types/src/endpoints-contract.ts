import { z } from "zod";
import * as tokens from "./auth-tokens.ts";
import { empty } from "./bounds.ts";
import * as certificates from "./certificates.ts";
import * as cluster from "./cluster.ts";
import * as config from "./cluster-config.ts";
import { serverStatus } from "./core.ts";
import { type EndpointSpec, endpoint } from "./endpoint.ts";
import * as joinTokens from "./join-tokens.ts";
import { localNodeStatus, nodeStatus } from "./node.ts";
import * as snap from "./snap.ts";

/** What clients of k8sd know: the numbers are the contract's, and at the end is its core API. */
export const contractEndpoints = {
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
} as const satisfies Record<string, EndpointSpec>;
