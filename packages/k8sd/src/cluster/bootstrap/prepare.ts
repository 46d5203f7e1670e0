import { randomUUID } from "node:crypto";
import type { BootstrapConfig } from "@k8sd/api-types";
import { hostPort } from "../../components/address.ts";
import { validateExtraArguments } from "../../components/arguments.ts";
import type { DatastoreView, MachineView, NodeView, Role } from "../../components/component.ts";
import { defaultPauseImage } from "../../components/pause-image.ts";
import { wantedComponents } from "../../components/wanted.ts";
import { isPostgresUrl, withoutPassword } from "../../datastore/postgres-url.ts";
import type { Host } from "../../host/host.ts";
import { createPaths, type Paths } from "../../host/paths.ts";
import type { SuppliedPki } from "../../pki/supplied.ts";
import { nodeIps, parseAddress } from "../config/address.ts";
import { parseCidrs } from "../config/cidr.ts";
import { applyDefaults } from "../config/defaults.ts";
import { fromBootstrap } from "../config/from-bootstrap.ts";
import { nodeSubnet } from "../config/subnets.ts";
import type { ClusterConfig, NodeConfig, ResolvedClusterConfig } from "../config/types.ts";
import { validate } from "../config/validate.ts";
import { checkNodePki } from "../node-pki.ts";
import type { BootstrapInput } from "./plan.ts";

export interface PrepareDeps {
  readonly host: Host;
  readonly machine: MachineView;
  readonly kubernetes: boolean;
  /** Id of this node. */
  readonly nodeId: string;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

export interface Preparation {
  readonly input: BootstrapInput;
  /** Certificates and keys of the user. */
  readonly secret: SuppliedPki;
}

/**
 * Decides everything that can be decided before anything is changed: what is wrong with a request is found here, and the
 * node that shall be is data.
 */
export function prepareBootstrap(
  order: { readonly name: string; readonly address: string; readonly config: BootstrapConfig },
  deps: PrepareDeps,
): Preparation {
  const { host } = deps;
  const parsed = fromBootstrap(order.config);
  const interfaces = host.interfaces();
  const address = parseAddress(order.address, interfaces);
  const addresses = nodeIps(address.ip, interfaces);
  const config = applyDefaults(parsed.cluster);
  validate(config, { nodeIps: addresses });
  validateExtraArguments(definedOnly(parsed.node.extraArgs));
  const secret = { ...suppliedPki(order.config), ...databaseUrl(config) };
  const parts = { name: order.name, addresses, k8sdAddress: address.text, config, node: parsed.node };
  const podCidrs = config.network.enabled ? cidrTexts(config.network["pod-cidr"]) : [];
  const view = createView(
    {
      ...parts,
      role: "control-plane",
      datastore: newDatastore(parts, loopbackOf(host)),
      nodePodCidrs: podCidrs.map((cidr) => nodeSubnet(cidr, 0)),
      signing: { ca: hasKey(config.certificates, "ca"), clientCa: hasKey(config.certificates, "client-ca") },
    },
    deps,
  );
  const input: BootstrapInput = {
    nodeId: deps.nodeId,
    clusterId: randomUUID(),
    view,
    config: withoutSecrets(config),
    extraSans: parsed.node.extraSans,
    kubernetes: deps.kubernetes,
    systemTuning: !parsed.node.disableSystemTuning,
  };
  checkNodePki(input, secret, new Date(deps.now));
  for (const component of wantedComponents(view)) component.render(view);
  return { input, secret };
}

function pathsOf({ paths }: Pick<Host, "paths">, containerdBase: string | undefined): Paths {
  const { root, snap, snapCommon, state } = paths;
  return createPaths({ root, snap, snapCommon, state, containerdBase });
}

/** For a node that was set up by another version: its files are where this one has them. */
export function withPathsOf(host: Pick<Host, "paths">, input: BootstrapInput): BootstrapInput {
  return { ...input, view: { ...input.view, paths: pathsOf(host, input.view.paths.containerd.base) } };
}

export interface ViewParts {
  readonly name: string;
  readonly role: Role;
  readonly addresses: readonly string[];
  readonly k8sdAddress: string;
  readonly config: ResolvedClusterConfig;
  readonly node: NodeConfig;
  readonly datastore: DatastoreView;
  /** Of the built-in network. */
  readonly nodePodCidrs: readonly string[];
  readonly signing: NodeView["signing"];
}

export function createView(parts: ViewParts, { host, machine }: Pick<PrepareDeps, "host" | "machine">): NodeView {
  const { config, node, addresses, role, datastore, nodePodCidrs, signing } = parts;
  const loopback = loopbackOf(host);
  return {
    name: parts.name,
    hostname: host.hostname,
    role,
    addresses,
    loopback,
    k8sdAddress: parts.k8sdAddress,
    paths: pathsOf(host, node.containerdBaseDir),
    cgroups: host.cgroups,
    network: {
      podCidrs: cidrTexts(config.network["pod-cidr"]),
      serviceCidrs: cidrTexts(config.network["service-cidr"]),
      nodePodCidrs,
      // The built-in network routes Services with kube-proxy, whatever the configuration says for other networks.
      kubeProxyEnabled: config.network.enabled || config.network["kube-proxy-enabled"],
    },
    securePort: config.apiserver.port,
    authorizationMode: config.apiserver["authorization-mode"],
    datastore,
    signing,
    kubelet: {
      clusterDomain: config.kubelet["cluster-domain"],
      clusterDns: config.kubelet["cluster-dns"],
      cloudProvider: config.kubelet["cloud-provider"],
      taints: role === "control-plane" ? (config.kubelet["control-plane-taints"] ?? []) : [],
    },
    extraArgs: definedOnly(node.extraArgs),
    extraConfigFiles: node.extraFiles,
    extraContainerdConfig: node.containerdConfig,
    pauseImage: defaultPauseImage,
    machine,
  };
}

export function newDatastore(
  { name, addresses, config }: Pick<ViewParts, "name" | "addresses" | "config">,
  loopback: string,
): DatastoreView {
  const { type, "etcd-port": clientPort, "etcd-peer-port": peerPort } = config.datastore;
  const endpoints = [`https://${hostPort(loopback, clientPort)}`];
  const [address = loopback] = addresses;
  switch (type) {
    case "external":
      if (isPostgresUrl(config.datastore["external-servers"]?.[0] ?? "")) {
        const server = withoutPassword(config.datastore["external-servers"]?.[0] ?? "");
        return { engine: "postgres", endpoints, clientPort, server };
      }
      return {
        engine: "external",
        endpoints: config.datastore["external-servers"] ?? [],
        ca: config.datastore["external-ca-crt"] !== undefined,
        clientCertificate: config.datastore["external-client-crt"] !== undefined,
      };
    case "etcd":
      return {
        engine: "etcd",
        endpoints,
        clientPort,
        peerPort,
        initialCluster: { state: "new", peers: { [name]: `https://${hostPort(address, peerPort)}` } },
      };
    default:
      return { engine: "sqlite", endpoints, clientPort };
  }
}

/** An authority that the user brought without its key signs nothing here; one that we make has its key. */
function hasKey(certificates: ClusterConfig["certificates"], name: "ca" | "client-ca"): boolean {
  const { [`${name}-crt` as const]: certificate = "", [`${name}-key` as const]: key = "" } = certificates;
  return certificate === "" || key !== "";
}

export function loopbackOf(host: Host): string {
  const internal = host.interfaces().flatMap((nic) => nic.addresses.filter((address) => address.internal));
  return internal.some(({ family }) => family === 4) || internal.length === 0 ? "127.0.0.1" : "::1";
}

function cidrTexts(text: string): readonly string[] {
  return parseCidrs(text).map((part) => part.text);
}

export function definedOnly<T>(values: Readonly<Record<string, T | undefined>>): Record<string, T> {
  return Object.fromEntries(Object.entries(values).filter((entry): entry is [string, T] => entry[1] !== undefined));
}

/** Every certificate and key of the request, by its configuration key. */
export function suppliedPki(config: object): SuppliedPki {
  return Object.fromEntries(Object.entries(config).filter(([key]) => /-(crt|key)$/.test(key)));
}

/** The configuration as it is recorded: keys and certificates are kept sealed beside it. */
function withoutSecrets(config: ResolvedClusterConfig): ClusterConfig {
  const {
    "external-ca-crt": _ca,
    "external-client-crt": _crt,
    "external-client-key": _key,
    "etcd-ca-crt": _etcdCa,
    "etcd-ca-key": _etcdKey,
    "etcd-apiserver-client-crt": _clientCrt,
    "etcd-apiserver-client-key": _clientKey,
    ...datastore
  } = config.datastore;
  const servers = datastore["external-servers"]?.map((server) =>
    isPostgresUrl(server) ? withoutPassword(server) : server,
  );
  return { ...config, certificates: {}, datastore: { ...datastore, ...(servers && { "external-servers": servers }) } };
}

function databaseUrl({ datastore }: ResolvedClusterConfig): SuppliedPki {
  const url = datastore["external-servers"]?.find(isPostgresUrl);
  return url === undefined ? {} : { "datastore-url": url };
}
