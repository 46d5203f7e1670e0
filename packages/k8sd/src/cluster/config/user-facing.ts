import type { GetClusterConfigResponse, UserFacingClusterConfig, UserFacingDatastoreConfig } from "@k8sd/api-types";
import { AppError } from "../../lib/app-error.ts";
import { parseCidr, parseIp } from "./cidr.ts";
import { defined } from "./defaults.ts";
import { type ClusterConfig, emptyClusterConfig } from "./types.ts";

type LoadBalancer = ClusterConfig["load-balancer"];
type Range = NonNullable<LoadBalancer["ranges"]>[number];

/** Where the parts of the configuration that users see are stored. What they left out stays absent. */
export function fromUserFacing(user: UserFacingClusterConfig): ClusterConfig {
  const { dns = {}, network = {}, "load-balancer": loadBalancer = {} } = user;
  const { "cluster-domain": clusterDomain, "service-ip": clusterDns, ...dnsRest } = dns;
  const { cidrs, ...loadBalancerRest } = loadBalancer;
  return {
    ...emptyClusterConfig(),
    kubelet: defined({
      "cloud-provider": user["cloud-provider"],
      "cluster-dns": clusterDns,
      "cluster-domain": clusterDomain,
    }),
    network: defined({ enabled: network.enabled, "kube-proxy-enabled": network["kube-proxy-enabled"] ?? undefined }),
    dns: dnsRest,
    ingress: user.ingress ?? {},
    "load-balancer": { ...loadBalancerRest, ...(cidrs === undefined ? {} : parseLoadBalancerCidrs(cidrs)) },
    gateway: user.gateway ?? {},
    "local-storage": user["local-storage"] ?? {},
    "metrics-server": user["metrics-server"] ?? {},
    ...(user.annotations === undefined ? {} : { annotations: user.annotations }),
  };
}

/** Every section is there and keys stand in the contract's order: it is the order of output. */
export function toUserFacing(config: ClusterConfig): UserFacingClusterConfig {
  const { network, dns, kubelet, ingress, "load-balancer": lb, "local-storage": storage } = config;
  return {
    network: { ...defined({ enabled: network.enabled }), "kube-proxy-enabled": network["kube-proxy-enabled"] ?? null },
    dns: defined({
      enabled: dns.enabled,
      "cluster-domain": kubelet["cluster-domain"],
      "service-ip": kubelet["cluster-dns"],
      "upstream-nameservers": dns["upstream-nameservers"],
    }),
    ingress: defined({
      enabled: ingress.enabled,
      "default-tls-secret": ingress["default-tls-secret"],
      "enable-proxy-protocol": ingress["enable-proxy-protocol"],
    }),
    "load-balancer": defined({
      enabled: lb.enabled,
      cidrs: loadBalancerCidrs(lb),
      "l2-mode": lb["l2-mode"],
      "l2-interfaces": lb["l2-interfaces"],
      "bgp-mode": lb["bgp-mode"],
      "bgp-local-asn": lb["bgp-local-asn"],
      "bgp-peer-address": lb["bgp-peer-address"],
      "bgp-peer-asn": lb["bgp-peer-asn"],
      "bgp-peer-port": lb["bgp-peer-port"],
    }),
    "local-storage": defined({
      enabled: storage.enabled,
      "local-path": storage["local-path"],
      "reclaim-policy": storage["reclaim-policy"],
      default: storage.default,
    }),
    gateway: defined({ enabled: config.gateway.enabled }),
    "metrics-server": defined({ enabled: config["metrics-server"].enabled }),
    ...defined({ "cloud-provider": kubelet["cloud-provider"], annotations: config.annotations }),
  };
}

/** The answer of GET cluster/config. */
export function toConfigResponse(config: ClusterConfig): GetClusterConfigResponse {
  const { "pod-cidr": podCidr, "service-cidr": serviceCidr } = config.network;
  return {
    status: toUserFacing(config),
    datastore: toUserFacingDatastore(config.datastore),
    ...defined({ "pod-cidr": podCidr, "service-cidr": serviceCidr }),
  };
}

function toUserFacingDatastore(datastore: ClusterConfig["datastore"]): UserFacingDatastoreConfig {
  if (datastore.type !== "external") return defined({ type: datastore.type });
  return defined({
    type: datastore.type,
    servers: datastore["external-servers"],
    "ca-crt": datastore["external-ca-crt"],
    "client-crt": datastore["external-client-crt"],
    "client-key": datastore["external-client-key"],
  });
}

function loadBalancerCidrs({ cidrs, ranges }: LoadBalancer): string[] | undefined {
  if (cidrs === undefined && ranges === undefined) return undefined;
  return [...(cidrs ?? []), ...(ranges ?? []).map(({ start, stop }) => `${start}-${stop}`)];
}

/** CIDRs and `start-stop` ranges are written in one list and stored in two. */
function parseLoadBalancerCidrs(entries: readonly string[]): { cidrs: string[]; ranges: Range[] } {
  const cidrs = entries.filter((entry) => !entry.includes("-"));
  const invalid = cidrs.find((entry) => parseCidr(entry) === undefined);
  if (invalid !== undefined)
    throw badEntry(`an invalid CIDR ${JSON.stringify(invalid)}: invalid CIDR address: ${invalid}`);
  return { cidrs, ranges: entries.filter((entry) => entry.includes("-")).map(parseRange) };
}

function parseRange(entry: string): Range {
  const quoted = JSON.stringify(entry);
  const [start = "", stop = "", ...rest] = entry.split("-");
  if (rest.length > 0) throw badEntry(`an IP range (${quoted}) not in $START-$END format`);
  const problem = rangeProblem({ start, stop });
  if (problem !== undefined) throw badEntry(`an IP range (${quoted}) ${problem}`);
  return { start, stop };
}

/** What is wrong with a range, as the end of "an IP range …". */
export function rangeProblem({ start, stop }: Range): string | undefined {
  const from = parseIp(start);
  const to = parseIp(stop);
  const bad = (which: string, ip: string) => `with an invalid ${which} IP (${JSON.stringify(ip)}): unable to parse IP`;
  if (from === undefined) return bad("start", start);
  if (to === undefined) return bad("stop", stop);
  if (from.family !== to.family)
    return `with a start IP (${JSON.stringify(start)}) and a stop IP (${JSON.stringify(stop)}) of different families`;
  if (from.value <= to.value) return undefined;
  return `with start IP (${JSON.stringify(start)}) greater than the stop IP (${JSON.stringify(stop)})`;
}

function badEntry(what: string): AppError {
  return new AppError("invalid", `invalid load-balancer.cidrs: load-balancer.cidrs contains ${what}`, {
    field: "load-balancer.cidrs",
    remedy: "Give CIDRs such as 10.0.0.0/24 or ranges such as 10.0.0.10-10.0.0.20.",
  });
}
