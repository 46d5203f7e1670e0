import type { ReserveRequest, ReserveResponse } from "@k8sd/api-types";
import { hostPort, splitHostPort } from "../../components/address.ts";
import { validateExtraArguments } from "../../components/arguments.ts";
import type { DatastoreView, MachineView } from "../../components/component.ts";
import { wantedComponents } from "../../components/wanted.ts";
import { isPostgresUrl } from "../../datastore/postgres-url.ts";
import type { Host } from "../../host/host.ts";
import { AppError } from "../../lib/app-error.ts";
import { backdateMs } from "../../pki/certificate.ts";
import { certificateTable } from "../../pki/certificate-table.ts";
import { createCsr } from "../../pki/csr.ts";
import { generateKey, privateKeyPem } from "../../pki/keys.ts";
import { noNames } from "../../pki/names.ts";
import type { SuppliedPki } from "../../pki/supplied.ts";
import { createView, definedOnly, loopbackOf, suppliedPki } from "../bootstrap/prepare.ts";
import { nodeIps, parseAddress } from "../config/address.ts";
import { fromJoin, type NodePart } from "../config/from-bootstrap.ts";
import { parseControlPlaneJoinConfig, parseWorkerJoinConfig } from "../config/parse-yaml.ts";
import { clusterConfig, type NodeConfig, type ResolvedClusterConfig } from "../config/types.ts";
import type { NodeKey } from "../node-key.ts";
import { checkNodePki } from "../node-pki.ts";
import { decodeJoinToken, type JoinTicket } from "../tokens-encoding.ts";
import type { JoinInput } from "./plan.ts";

export interface JoinOrder {
  /** Cleaned host name. */
  readonly name: string;
  /** As requested: it may be empty, or a CIDR. */
  readonly address: string;
  readonly token: string;
  /** A YAML or JSON document; "" = all defaults. */
  readonly config: string;
  /** 0 = the domain's own ceiling. */
  readonly timeoutMs: number;
}

export interface JoinPrepareDeps {
  readonly host: Host;
  readonly machine: MachineView;
  readonly kubernetes: boolean;
  readonly nodeKey: Pick<NodeKey, "id" | "meshPeer">;
}

/** All that is decided before the cluster is asked. */
export interface JoinWish {
  readonly ticket: JoinTicket;
  readonly request: ReserveRequest;
  readonly node: NodeConfig;
  /** What the user brings, and the keys of the requests. */
  readonly secret: SuppliedPki;
}

export interface JoinSecret {
  readonly pki: SuppliedPki;
  /** Base64; control planes only. */
  readonly sealKey?: string;
}

export function prepareWish(
  order: JoinOrder,
  versions: Readonly<Record<string, string>>,
  deps: JoinPrepareDeps,
): JoinWish {
  const ticket = decodeJoinToken(order.token);
  const config: NodePart =
    ticket.role === "worker" ? parseWorkerJoinConfig(order.config) : parseControlPlaneJoinConfig(order.config);
  const node = fromJoin(config);
  validateExtraArguments(definedOnly(node.extraArgs));
  const interfaces = deps.host.interfaces();
  const address = parseAddress(order.address, interfaces);
  const addresses = [...nodeIps(address.ip, interfaces)];
  const own = new Set(interfaces.flatMap((nic) => nic.addresses.map((entry) => hostPort(entry.address, address.port))));
  const others = ticket.addresses.filter((other) => !own.has(other));
  if (others.length === 0) {
    throw new AppError("invalid", "cannot join: the only control plane that the token names is this node itself", {
      field: "token",
      remedy: "Run 'k8s join-cluster' on the node that shall join.",
    });
  }
  const supplied = suppliedPki(config);
  const { requests, keys } =
    ticket.role === "worker" ? workerRequests(deps.nodeKey.id, order.name, supplied) : { requests: {}, keys: {} };
  return {
    ticket: { ...ticket, addresses: others },
    node,
    secret: { ...supplied, ...keys },
    request: {
      secret: ticket.secret,
      name: order.name,
      role: ticket.role,
      addresses,
      "k8sd-address": address.text,
      "mesh-peer": deps.nodeKey.meshPeer,
      versions: { ...versions },
      requests,
    },
  };
}

/** A request for each certificate of a worker that its user does not bring. */
function workerRequests(nodeId: string, nodeName: string, supplied: SuppliedPki) {
  const requests: Record<string, string> = {};
  const keys: Record<string, string> = {};
  const place = { addresses: [], serviceIps: [], clusterDomain: "", extraSans: [] };
  const identity = { id: nodeId, nodeName, hostName: nodeName, ...place };
  for (const row of certificateTable) {
    if (!row.roles.includes("worker") || row.issuer === "self" || supplied[`${row.name}-crt`]) continue;
    const key = generateKey();
    requests[row.name] = createCsr(row.subject(identity), noNames, key);
    keys[`${row.name}-key`] = privateKeyPem(key);
  }
  return { requests, keys };
}

/** The node as it shall become, from what the cluster answered. */
export function prepareJoin(
  wish: JoinWish,
  answer: ReserveResponse,
  deps: JoinPrepareDeps & { readonly now: number; readonly askedAt: number },
): { readonly input: JoinInput; readonly secret: JoinSecret } {
  const { request, ticket, node } = wish;
  // The cluster resolved it before it stored it.
  const config = clusterConfig.parse(answer.config) as ResolvedClusterConfig;
  const skewMs = skewOf(answer.now, deps.askedAt, deps.now);
  const pki: SuppliedPki = { ...answer.pki, ...wish.secret };
  const [address = ""] = request.addresses;
  const loopback = loopbackOf(deps.host);
  const view = createView(
    {
      name: request.name,
      role: request.role,
      addresses: request.addresses,
      k8sdAddress: request["k8sd-address"],
      config,
      node,
      datastore: joinedDatastore(request, answer, config, pki, loopback),
      nodePodCidrs: answer["pod-cidrs"],
      signing:
        request.role === "worker"
          ? { ca: false, clientCa: false }
          : { ca: Boolean(pki["ca-key"]), clientCa: Boolean(pki["client-ca-key"]) },
    },
    deps,
  );
  const controlPlanes = answer.members.filter(
    ({ role, state, id }) => role === "control-plane" && state === "active" && id !== answer.id,
  );
  const input: JoinInput = {
    nodeId: answer.id,
    clusterId: answer.cluster.id,
    epoch: answer.cluster.epoch,
    incarnation: answer.incarnation,
    ...(answer.cluster.recovery === undefined ? {} : { recovery: answer.cluster.recovery }),
    view,
    config,
    extraSans: node.extraSans,
    kubernetes: deps.kubernetes,
    systemTuning: !node.disableSystemTuning,
    skewMs,
    via: {
      fingerprint: ticket.fingerprint,
      addresses: [...new Set([...controlPlanes.map((member) => member["k8sd-address"]), ...ticket.addresses])],
      apiServers: answer["api-servers"].filter((server) => splitHostPort(server)?.host !== address),
    },
  };
  checkNodePki(input, pki, new Date(deps.now));
  for (const component of wantedComponents(view)) component.render(view);
  const sealKey = answer["seal-key"];
  return { input, secret: { pki, ...(sealKey === undefined ? {} : { sealKey }) } };
}

function joinedDatastore(
  request: ReserveRequest,
  answer: ReserveResponse,
  config: ResolvedClusterConfig,
  pki: SuppliedPki,
  loopback: string,
): DatastoreView {
  // A worker has no part in it.
  if (request.role === "worker") return { engine: "external", endpoints: [], ca: false, clientCertificate: false };
  const { type, "etcd-port": clientPort, "etcd-peer-port": peerPort } = config.datastore;
  const [server = ""] = config.datastore["external-servers"] ?? [];
  if (type === "external" && isPostgresUrl(server)) {
    return { engine: "postgres", endpoints: [`https://${hostPort(loopback, clientPort)}`], clientPort, server };
  }
  if (type === "external") {
    return {
      engine: "external",
      endpoints: config.datastore["external-servers"] ?? [],
      ca: Boolean(pki["datastore-ca-crt"]),
      clientCertificate: Boolean(pki["datastore-client-crt"]),
    };
  }
  // Whom to know at the first start is asked when it comes to that; this stands until then.
  const peers = answer.members
    .filter(({ role, state }) => role === "control-plane" && state === "active")
    .map(({ name, addresses: [peer = ""] }) => [name, peerUrl(peer, peerPort)]);
  const [own = ""] = request.addresses;
  return {
    engine: "etcd",
    endpoints: [`https://${hostPort(loopback, clientPort)}`],
    clientPort,
    peerPort,
    initialCluster: {
      state: "existing",
      peers: { ...Object.fromEntries(peers), [request.name]: peerUrl(own, peerPort) },
    },
  };
}

export function peerUrl(address: string, port: number): string {
  return `https://${hostPort(address, port)}`;
}

/** Certificates begin a little before they are made; beyond that, one side's would not be valid on the other. */
export function skewOf(theirs: number, askedAt: number, answeredAt: number): number {
  // It looked at its clock some time between the two, which may be a minute where it was asked more than once.
  const skewMs = Math.round(Math.max(theirs - answeredAt, 0) + Math.min(theirs - askedAt, 0));
  if (Math.abs(skewMs) <= backdateMs) return skewMs;
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  throw new AppError(
    "conflict",
    `cannot join: the clock of this node is ${seconds} s ${skewMs > 0 ? "behind" : "ahead of"} the cluster's, so certificates would not be valid`,
    { remedy: "Set the clock, for example with an NTP service, and join again." },
  );
}
