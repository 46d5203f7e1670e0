import { annotation } from "./annotations.ts";
import { type Cidr, contains, overlap, parseCidr, parseCidrs, parseIp, validCidrs } from "./cidr.ts";
import { datastoreServers } from "./datastore-servers.ts";
import { deadNodes } from "./dead-nodes.ts";
import { type Problem, problem, throwProblems } from "./problems.ts";
import { nodePrefix } from "./subnets.ts";
import type { ClusterConfig } from "./types.ts";
import { rangeProblem } from "./user-facing.ts";

export interface ValidationContext {
  /** Addresses of the node, when it is known. */
  readonly nodeIps?: readonly string[];
}

/** Throws when the configuration cannot work; the order of rules decides which text comes first. */
export function validate(config: ClusterConfig, context: ValidationContext = {}, prefix = ""): void {
  throwProblems(problemsOf(config, context), prefix);
}

export function problemsOf(config: ClusterConfig, context: ValidationContext = {}): readonly Problem[] {
  return rules.flatMap((rule) => [...rule(config, context)]);
}

type Rule = (config: ClusterConfig, context: ValidationContext) => readonly Problem[];

/** From Kubernetes: at most 20 bits of a Service range are for addresses. */
const serviceBits = 20;

const q = (text: string) => JSON.stringify(text);

function cidrSyntax(key: "pod-cidr" | "service-cidr", name: string): Rule {
  return ({ network }) => {
    const bad = (what: string) => [
      problem(
        key,
        `invalid ${name}: ${what}`,
        `Give ${key} one CIDR, or an IPv4 and an IPv6 one separated by a comma.`,
      ),
    ];
    const parts = parseCidrs(network[key] ?? "");
    if (parts.length > 2) return bad(`must contain 1 or 2 CIDRs, but found ${parts.length} instead`);
    const invalid = parts.find(({ cidr }) => cidr === undefined);
    if (invalid !== undefined)
      return bad(`${q(invalid.text)} is not a valid CIDR: invalid CIDR address: ${invalid.text}`);
    const [first, second] = parts;
    return second !== undefined && first?.cidr?.family === second.cidr?.family
      ? bad("both CIDRs are of one IP family")
      : [];
  };
}

const podServiceOverlap: Rule = ({ network }) =>
  pairs(validCidrs(network["pod-cidr"] ?? ""), validCidrs(network["service-cidr"] ?? "")).map(([pod, service]) =>
    problem(
      "service-cidr",
      `invalid cidr configuration: pod CIDR ${q(pod.text)} and service CIDR ${q(service.text)} overlap`,
      "Choose ranges that share no address.",
    ),
  );

const serviceSize: Rule = ({ network }) =>
  validCidrs(network["service-cidr"] ?? "").flatMap(({ family, prefix, text }) => {
    const limit = (family === 4 ? 32 : 128) - serviceBits;
    const message = `invalid service CIDR: service CIDR ${q(text)} cannot be larger than /${limit}`;
    return prefix < limit ? [problem("service-cidr", message, `Use a prefix of /${limit} or longer.`)] : [];
  });

const podSize: Rule = ({ network }) =>
  validCidrs(network["pod-cidr"] ?? "").flatMap(({ family, prefix, text }) => {
    const limit = nodePrefix[family];
    const message = `invalid pod CIDR: ${q(text)} is too small: each node takes a /${limit} of it`;
    return prefix > limit
      ? [problem("pod-cidr", message, `Use a prefix of /${limit} or shorter, and leave room for more nodes.`)]
      : [];
  });

const nodeOutsideRanges: Rule = ({ network }, { nodeIps = [] }) =>
  nodeIps.flatMap((text) => {
    const ip = parseIp(text);
    if (ip === undefined) return [];
    return (["pod-cidr", "service-cidr"] as const).flatMap((key) =>
      validCidrs(network[key] ?? "")
        .filter((cidr) => contains(cidr, ip))
        .map((cidr) => {
          const message = `invalid cidr configuration: node address ${text} is inside the ${key.replace("-cidr", " CIDR")} ${q(cidr.text)}`;
          return problem(key, message, `Choose a ${key} outside of the networks that the nodes are in.`);
        }),
    );
  });

const needsNetwork: Rule = (config) =>
  config.network.enabled === true
    ? []
    : (["gateway", "ingress"] as const)
        .filter((feature) => config[feature].enabled === true)
        .map((feature) =>
          problem(
            `${feature}.enabled`,
            `${feature} requires network to be enabled`,
            `Set network.enabled to true, or ${feature}.enabled to false.`,
          ),
        );

const kubeProxy: Rule = ({ network }) =>
  network.enabled === true && network["kube-proxy-enabled"] === true
    ? [
        problem(
          "network.kube-proxy-enabled",
          "kube-proxy-enabled cannot be set to true when network is enabled",
          "Leave network.kube-proxy-enabled out or set it to false: the network feature does the work of kube-proxy.",
        ),
      ]
    : [];

const loadBalancerRanges: Rule = (config) => {
  const { cidrs = [], ranges = [] } = config["load-balancer"];
  const bad = (what: string) =>
    problem(
      "load-balancer.cidrs",
      `load-balancer configuration contains ${what}`,
      "Give CIDRs such as 10.0.0.0/24 or ranges such as 10.0.0.10-10.0.0.20.",
    );
  return [
    ...cidrs
      .filter((cidr) => parseCidr(cidr) === undefined)
      .map((cidr) => bad(`an invalid CIDR ${q(cidr)}: invalid CIDR address: ${cidr}`)),
    ...ranges.flatMap((range) => {
      const reason = rangeProblem(range);
      return reason === undefined ? [] : [bad(`an IP range (${q(`${range.start}-${range.stop}`)}) ${reason}`)];
    }),
  ];
};

const loadBalancerOverlap: Rule = (config) => {
  const { cidrs = [], ranges = [] } = config["load-balancer"];
  const spans = [
    ...cidrs.flatMap((text) => parseCidr(text) ?? []),
    ...ranges.flatMap(({ start, stop }) => {
      const first = parseIp(start);
      const last = parseIp(stop);
      return first && last
        ? [{ family: first.family, first: first.value, last: last.value, text: `${start}-${stop}` }]
        : [];
    }),
  ];
  return (["pod-cidr", "service-cidr"] as const).flatMap((key) =>
    pairs(spans, validCidrs(config.network[key] ?? "")).map(([span, cidr]) =>
      problem(
        "load-balancer.cidrs",
        `load-balancer.cidrs contains ${q(span.text)}, which overlaps the ${key.replace("-cidr", " CIDR")} ${q(cidr.text)}`,
        "Choose addresses of the network that the nodes are in and that nobody else uses.",
      ),
    ),
  );
};

const bgp: Rule = (config) => {
  const lb = config["load-balancer"];
  if (lb["bgp-mode"] !== true) return [];
  const must = (key: string, when: string) =>
    problem(
      `load-balancer.${key}`,
      `load-balancer.${key} must be set when load-balancer.bgp-mode is enabled${when}`,
      `Set load-balancer.${key}.`,
    );
  const orPeers = ` (or supply peers via the ${annotation.bgpPeers} annotation)`;
  const hasPeers = config.annotations?.[annotation.bgpPeers] !== undefined;
  return [
    ...(lb["bgp-local-asn"] ? [] : [must("bgp-local-asn", "")]),
    ...(hasPeers || lb["bgp-peer-address"] ? [] : [must("bgp-peer-address", orPeers)]),
    ...(hasPeers || lb["bgp-peer-asn"] ? [] : [must("bgp-peer-asn", orPeers)]),
  ];
};

const localStorage: Rule = (config) => {
  const storage = config["local-storage"];
  const policy = storage["reclaim-policy"] ?? "";
  return [
    ...(["", "Retain", "Delete"].includes(policy)
      ? []
      : [
          problem(
            "local-storage.reclaim-policy",
            "local-storage.reclaim-policy must be one of: Retain, Delete",
            "Use Retain or Delete.",
          ),
        ]),
    ...(storage.enabled === true && !storage["local-path"]
      ? [
          problem(
            "local-storage.local-path",
            "local-storage.local-path must be set when local-storage is enabled",
            "Set local-storage.local-path to a directory.",
          ),
        ]
      : []),
  ];
};

const dnsServiceIp: Rule = ({ kubelet, network }) => {
  const text = kubelet["cluster-dns"];
  if (!text) return [];
  const ip = parseIp(text);
  if (ip === undefined)
    return [
      problem("dns.service-ip", "dns.service-ip must be a valid IP address", "Give an address of the service CIDR."),
    ];
  const services = validCidrs(network["service-cidr"] ?? "");
  if (services.length === 0 || services.some((cidr) => contains(cidr, ip))) return [];
  const message = `dns.service-ip ${text} is not inside the service CIDR ${q(network["service-cidr"] ?? "")}`;
  return [problem("dns.service-ip", message, "Give an address of the service CIDR.")];
};

const ports: Rule = ({ apiserver, datastore, "load-balancer": lb }) => {
  const given = {
    "secure-port": apiserver.port,
    "etcd-port": datastore["etcd-port"],
    "etcd-peer-port": datastore["etcd-peer-port"],
    "load-balancer.bgp-peer-port": lb["bgp-peer-port"],
  };
  return Object.entries(given)
    .filter(([, port]) => port !== undefined && (port < 1 || port > 65_535))
    .map(([key, port]) => problem(key, `${key} ${port} is not a port number`, "Give a number between 1 and 65535."));
};

const taint = /^[A-Za-z0-9][A-Za-z0-9_./-]*(=[A-Za-z0-9_.-]*)?:(NoSchedule|PreferNoSchedule|NoExecute)$/;

const taints: Rule = ({ kubelet }) =>
  (kubelet["control-plane-taints"] ?? [])
    .filter((text) => !taint.test(text))
    .map((text) =>
      problem(
        "control-plane-taints",
        `control-plane-taints contains invalid taint ${q(text)}`,
        "Write taints as key=value:NoSchedule or key:NoSchedule.",
      ),
    );

const rules: readonly Rule[] = [
  cidrSyntax("pod-cidr", "pod CIDR"),
  cidrSyntax("service-cidr", "service CIDR"),
  podServiceOverlap,
  serviceSize,
  needsNetwork,
  kubeProxy,
  loadBalancerRanges,
  bgp,
  localStorage,
  dnsServiceIp,
  deadNodes,
  datastoreServers,
  podSize,
  nodeOutsideRanges,
  loadBalancerOverlap,
  ports,
  taints,
];

type Span = Pick<Cidr, "family" | "first" | "last" | "text">;

function pairs(a: readonly Span[], b: readonly Span[]): readonly (readonly [Span, Span])[] {
  return a.flatMap((left) => b.filter((right) => overlap(left, right)).map((right) => [left, right] as const));
}
