import { describe, expect, test } from "vitest";
import { applyDefaults } from "../../../src/cluster/config/defaults.ts";
import { emptyClusterConfig } from "../../../src/cluster/config/types.ts";
import { fromUserFacing } from "../../../src/cluster/config/user-facing.ts";
import { problemsOf, validate } from "../../../src/cluster/config/validate.ts";
import { AppError } from "../../../src/lib/app-error.ts";

type User = Parameters<typeof fromUserFacing>[0];

const base = (user: User = {}, network: { "pod-cidr"?: string; "service-cidr"?: string } = {}) => {
  const config = fromUserFacing(user);
  return applyDefaults({ ...config, network: { ...config.network, ...network } });
};
const messages = (config: Parameters<typeof problemsOf>[0], nodeIps: string[] = []) =>
  problemsOf(config, { nodeIps }).map(({ field, message }) => `${field}: ${message}`);

test.each([
  ["72h", []],
  ["1m", []],
  [
    "59s",
    [
      'annotations: invalid annotation k8sd/v1alpha/lifecycle/remove-dead-nodes-after: "59s" is no duration of at least 1m',
    ],
  ],
  ["3 days", [expect.stringContaining('"3 days" is no duration')]],
])("dead nodes may be removed after %s", (text, problems) => {
  const annotations = { "k8sd/v1alpha/lifecycle/remove-dead-nodes-after": text };
  expect(messages(base({ annotations }))).toEqual(problems);
});

test("the defaults are valid, and so is what the CLI sends without a file", () => {
  expect(problemsOf(applyDefaults(emptyClusterConfig()))).toEqual([]);
  const cli = {
    network: { enabled: true, "kube-proxy-enabled": false },
    dns: { enabled: true },
    gateway: { enabled: true },
  };
  expect(problemsOf(base(cli))).toEqual([]);
});

describe("networks", () => {
  test.each([
    [
      "no CIDR",
      { "pod-cidr": "nonsense" },
      'pod-cidr: invalid pod CIDR: "nonsense" is not a valid CIDR: invalid CIDR address: nonsense',
    ],
    [
      "nothing",
      { "service-cidr": "" },
      'service-cidr: invalid service CIDR: "" is not a valid CIDR: invalid CIDR address: ',
    ],
    [
      "three",
      { "pod-cidr": "10.1.0.0/16,fd00::/64,10.2.0.0/16" },
      "pod-cidr: invalid pod CIDR: must contain 1 or 2 CIDRs, but found 3 instead",
    ],
    [
      "two of a family",
      { "pod-cidr": "10.1.0.0/16,10.2.0.0/16" },
      "pod-cidr: invalid pod CIDR: both CIDRs are of one IP family",
    ],
    [
      "a leading zero",
      { "pod-cidr": "10.01.0.0/16" },
      'pod-cidr: invalid pod CIDR: "10.01.0.0/16" is not a valid CIDR: invalid CIDR address: 10.01.0.0/16',
    ],
    [
      "overlap",
      { "pod-cidr": "10.152.0.0/16" },
      'service-cidr: invalid cidr configuration: pod CIDR "10.152.0.0/16" and service CIDR "10.152.183.0/24" overlap',
    ],
    [
      "overlap of the second family",
      { "pod-cidr": "10.1.0.0/16,fd00::/64", "service-cidr": "10.152.183.0/24,fd00::1:0/112" },
      'service-cidr: invalid cidr configuration: pod CIDR "fd00::/64" and service CIDR "fd00::1:0/112" overlap',
    ],
    [
      "IPv6 services",
      { "pod-cidr": "fd01::/64", "service-cidr": "fd00::/64" },
      'service-cidr: invalid service CIDR: service CIDR "fd00::/64" cannot be larger than /108',
    ],
    [
      "small pods",
      { "pod-cidr": "10.1.0.0/25" },
      'pod-cidr: invalid pod CIDR: "10.1.0.0/25" is too small: each node takes a /24 of it',
    ],
  ])("%s", (_case, network, expected) => {
    expect(messages(base({}, network))).toEqual([expected]);
  });

  test.each([
    ["IPv4 only", {}],
    ["IPv6 only", { "pod-cidr": "fd01::/64", "service-cidr": "fd00::/108" }],
    ["both", { "pod-cidr": "10.1.0.0/16,fd01::/64", "service-cidr": "10.152.183.0/24,fd02::/112" }],
  ])("%s is fine", (_case, network) => {
    expect(messages(base({}, network))).toEqual([]);
  });

  test("the node's own address lies in neither range", () => {
    expect(messages(base(), ["10.1.3.4", "192.168.0.4"])).toEqual([
      'pod-cidr: invalid cidr configuration: node address 10.1.3.4 is inside the pod CIDR "10.1.0.0/16"',
    ]);
    expect(messages(base(), ["10.152.183.9"])).toEqual([
      'service-cidr: invalid cidr configuration: node address 10.152.183.9 is inside the service CIDR "10.152.183.0/24"',
    ]);
  });
});

describe("features", () => {
  const cases: [string, User, string][] = [
    ["gateway", { gateway: { enabled: true } }, "gateway.enabled: gateway requires network to be enabled"],
    ["ingress", { ingress: { enabled: true } }, "ingress.enabled: ingress requires network to be enabled"],
    [
      "kube-proxy beside the network",
      { network: { enabled: true, "kube-proxy-enabled": true } },
      "network.kube-proxy-enabled: kube-proxy-enabled cannot be set to true when network is enabled",
    ],
    [
      "no local ASN",
      { "load-balancer": { "bgp-mode": true, "bgp-peer-address": "10.0.0.1/32", "bgp-peer-asn": 64512 } },
      "load-balancer.bgp-local-asn: load-balancer.bgp-local-asn must be set when load-balancer.bgp-mode is enabled",
    ],
    [
      "no peer address",
      { "load-balancer": { "bgp-mode": true, "bgp-local-asn": 64512, "bgp-peer-asn": 64512 } },
      "load-balancer.bgp-peer-address: load-balancer.bgp-peer-address must be set when load-balancer.bgp-mode is enabled (or supply peers via the k8sd/v1alpha1/metallb/bgp-peers annotation)",
    ],
    [
      "no peer ASN",
      { "load-balancer": { "bgp-mode": true, "bgp-local-asn": 64512, "bgp-peer-address": "10.0.0.1/32" } },
      "load-balancer.bgp-peer-asn: load-balancer.bgp-peer-asn must be set when load-balancer.bgp-mode is enabled (or supply peers via the k8sd/v1alpha1/metallb/bgp-peers annotation)",
    ],
    [
      "Recycle",
      { "local-storage": { "reclaim-policy": "Recycle" } },
      "local-storage.reclaim-policy: local-storage.reclaim-policy must be one of: Retain, Delete",
    ],
    [
      "storage nowhere",
      { "local-storage": { enabled: true, "local-path": "" } },
      "local-storage.local-path: local-storage.local-path must be set when local-storage is enabled",
    ],
    [
      "DNS at no address",
      { dns: { "service-ip": "ten" } },
      "dns.service-ip: dns.service-ip must be a valid IP address",
    ],
    [
      "DNS outside the services",
      { dns: { "service-ip": "10.0.0.10" } },
      'dns.service-ip: dns.service-ip 10.0.0.10 is not inside the service CIDR "10.152.183.0/24"',
    ],
    [
      "balancing over pods",
      { "load-balancer": { cidrs: ["10.1.5.0/24"] } },
      'load-balancer.cidrs: load-balancer.cidrs contains "10.1.5.0/24", which overlaps the pod CIDR "10.1.0.0/16"',
    ],
    [
      "balancing over services",
      { "load-balancer": { cidrs: ["10.152.183.10-10.152.183.20"] } },
      'load-balancer.cidrs: load-balancer.cidrs contains "10.152.183.10-10.152.183.20", which overlaps the service CIDR "10.152.183.0/24"',
    ],
  ];
  test.each(cases)("%s", (_case, user, expected) => {
    expect(messages(base(user))).toEqual([expected]);
  });

  test("peers by annotation stand for the typed keys", () => {
    const annotations = { "k8sd/v1alpha1/metallb/bgp-peers": "[]" };
    expect(messages(base({ annotations, "load-balancer": { "bgp-mode": true, "bgp-local-asn": 1 } }))).toEqual([]);
  });
});

test.each([
  "10.0.0.1:2379",
  "ftp://10.0.0.1:2379",
  "https://",
  "https://user:secret@10.0.0.1",
  "nonsense",
  "http://10.0.0.1:2379/x",
])("%s is no datastore server", (server) => {
  const config = base();
  config.datastore["external-servers"] = ["https://10.0.0.1:2379", server];
  expect(messages(config)).toEqual([
    `datastore-servers: datastore.external-servers contains invalid address: ${server.replace("secret", "…")}`,
  ]);
});

test.each([0, 65_536, -1])("%d is no port", (port) => {
  const config = base();
  config.apiserver.port = port;
  expect(messages(config)).toEqual([`secure-port: secure-port ${port} is not a port number`]);
});

test.each([
  ["node-role.kubernetes.io/control-plane:NoSchedule", true],
  ["key=value:NoExecute", true],
  ["key=value", false],
  ["key:Sometimes", false],
  ["a b:NoSchedule", false],
])("taint %s: %s", (taint, valid) => {
  const config = base();
  config.kubelet["control-plane-taints"] = [taint];
  expect(problemsOf(config).length === 0).toBe(valid);
});

test("the error has text and remedy of the first problem, and names the others", () => {
  const config = base({ gateway: { enabled: true }, dns: { "service-ip": "ten" } });
  try {
    validate(config);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    expect(error).toMatchObject({
      kind: "invalid",
      field: "gateway.enabled",
      message: "gateway requires network to be enabled (also: dns.service-ip must be a valid IP address)",
      remedy: "Set network.enabled to true, or gateway.enabled to false.",
    });
  }
});
