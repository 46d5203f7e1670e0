import { type BootstrapConfig, bootstrapConfig } from "@k8sd/api-types";
import { describe, expect, test } from "vitest";
import { applyDefaults } from "../../../src/cluster/config/defaults.ts";
import { fromBootstrap } from "../../../src/cluster/config/from-bootstrap.ts";
import { clusterConfig } from "../../../src/cluster/config/types.ts";
import { fromUserFacing, toConfigResponse, toUserFacing } from "../../../src/cluster/config/user-facing.ts";
import { AppError } from "../../../src/lib/app-error.ts";

const error = (config: BootstrapConfig): AppError => {
  try {
    fromBootstrap(config);
  } catch (thrown) {
    if (thrown instanceof AppError) return thrown;
    throw thrown;
  }
  throw new Error("accepted");
};

describe("datastore", () => {
  const cases: [BootstrapConfig, string, string][] = [
    [
      { "datastore-servers": ["https://a:1"] },
      "datastore-servers",
      'datastore-servers needs datastore-type to be external, not "sqlite"',
    ],
    [
      { "datastore-type": "etcd", "datastore-ca-crt": "x" },
      "datastore-ca-crt",
      'datastore-ca-crt needs datastore-type to be external, not "etcd"',
    ],
    [
      { "datastore-type": "etcd", "datastore-client-crt": "x" },
      "datastore-client-crt",
      "datastore-client-crt needs datastore-type to be external",
    ],
    [
      { "datastore-type": "etcd", "datastore-client-key": "x" },
      "datastore-client-key",
      "datastore-client-key needs datastore-type to be external",
    ],
    [
      { "datastore-type": "external" },
      "datastore-servers",
      "datastore type is external but no datastore servers were set",
    ],
    [
      { "datastore-type": "external", "datastore-servers": ["https://a:1"], "etcd-port": 1 },
      "etcd-port",
      "etcd-port needs datastore-type to be etcd",
    ],
    [
      { "datastore-type": "external", "datastore-servers": ["https://a:1"], "etcd-peer-port": 1 },
      "etcd-peer-port",
      "etcd-peer-port needs datastore-type to be etcd",
    ],
    [
      { "datastore-type": "k8s-dqlite" },
      "datastore-type",
      'unknown datastore type specified in bootstrap config "k8s-dqlite"',
    ],
  ];
  test.each(cases)("%j is refused", (config, field, message) => {
    expect(error(config)).toMatchObject({ kind: "invalid", field, remedy: expect.stringMatching(/\.$/) });
    expect(error(config).message).toContain(message);
  });

  test("is sqlite unless said otherwise, with the ports it will need when it moves to etcd", () => {
    const resolved = applyDefaults(fromBootstrap({ "etcd-peer-port": 2381 }).cluster);
    expect(resolved.datastore).toEqual({ type: "sqlite", "etcd-port": 2379, "etcd-peer-port": 2381 });
    expect(applyDefaults(fromBootstrap({ "datastore-type": "" }).cluster).datastore.type).toBe("sqlite");
    expect(applyDefaults(fromBootstrap({ "datastore-type": "etcd" }).cluster).datastore.type).toBe("etcd");
  });
});

describe("defaults", () => {
  test("without a word from the user", () => {
    expect(applyDefaults(fromBootstrap({}).cluster)).toEqual({
      certificates: {},
      datastore: { type: "sqlite", "etcd-port": 2379, "etcd-peer-port": 2380 },
      apiserver: { port: 6443, "authorization-mode": "Node,RBAC" },
      kubelet: { "cluster-domain": "cluster.local" },
      network: {
        enabled: false,
        "pod-cidr": "10.1.0.0/16",
        "service-cidr": "10.152.183.0/24",
        "kube-proxy-enabled": true,
      },
      dns: { enabled: false, "upstream-nameservers": ["/etc/resolv.conf"] },
      ingress: { enabled: false, "default-tls-secret": "", "enable-proxy-protocol": false },
      "load-balancer": {
        enabled: false,
        cidrs: [],
        ranges: [],
        "l2-mode": true,
        "l2-interfaces": [],
        "bgp-mode": false,
        "bgp-local-asn": 0,
        "bgp-peer-address": "",
        "bgp-peer-asn": 0,
        "bgp-peer-port": 179,
      },
      gateway: { enabled: false },
      "local-storage": {
        enabled: false,
        "local-path": "/var/snap/k8s/common/rawfile-storage",
        "reclaim-policy": "Delete",
        default: true,
      },
      "metrics-server": { enabled: true },
    });
  });

  test("do not stand over what the user said", () => {
    const cluster = fromBootstrap({
      "disable-rbac": true,
      "secure-port": 16443,
      "control-plane-taints": [],
      "cluster-config": {
        network: { enabled: true },
        "metrics-server": { enabled: false },
        dns: { "upstream-nameservers": [] },
      },
    }).cluster;
    const resolved = applyDefaults(cluster);
    expect(resolved.apiserver).toEqual({ port: 16443, "authorization-mode": "AlwaysAllow" });
    expect(resolved.network).toMatchObject({ enabled: true, "kube-proxy-enabled": false });
    expect(resolved["metrics-server"].enabled).toBe(false);
    expect(resolved.dns["upstream-nameservers"]).toEqual(["/etc/resolv.conf"]);
    expect(resolved.kubelet["control-plane-taints"]).toBeUndefined();
  });

  test("are stored and read back unchanged", () => {
    const resolved = applyDefaults(fromBootstrap({ "cluster-config": { annotations: { a: "b" } } }).cluster);
    expect(clusterConfig.parse(JSON.parse(JSON.stringify(resolved)))).toEqual(resolved);
  });
});

describe("this node's own part", () => {
  test("is taken apart from the cluster's", () => {
    const { node } = fromBootstrap({
      "extra-sans": ["10.0.0.1", "api.example.com", "*.example.com"],
      "extra-node-kubelet-args": { "--max-pods": "200", "--feature-gates": null },
      "extra-node-config-files": { "audit.yaml": "rules: []" },
      "extra-node-containerd-config": { plugins: { x: 1 } },
      "containerd-base-dir": "/srv",
      "kubelet-crt": "crt",
      "kubelet-key": "key",
    });
    expect(node).toEqual({
      extraSans: ["10.0.0.1", "api.example.com", "*.example.com"],
      disableSystemTuning: false,
      containerdBaseDir: "/srv",
      extraFiles: { "audit.yaml": "rules: []" },
      extraArgs: { kubelet: { "--max-pods": "200", "--feature-gates": null } },
      containerdConfig: { plugins: { x: 1 } },
      certificates: { "kubelet-crt": "crt", "kubelet-key": "key" },
    });
  });

  const bad: [BootstrapConfig, string, string][] = [
    [
      { "containerd-base-dir": "srv" },
      "containerd-base-dir",
      'containerd-base-dir must be an absolute path, got "srv"',
    ],
    [{ "extra-node-config-files": { "../x": "" } }, "extra-node-config-files", '"../x"'],
    [{ "extra-node-config-files": { "..": "" } }, "extra-node-config-files", '".."'],
    [{ "extra-node-kubelet-args": { "max-pods": "1" } }, "extra-node-kubelet-args", '"max-pods"'],
    [{ "extra-node-kubelet-args": { "--max-pods=1": "1" } }, "extra-node-kubelet-args", '"--max-pods=1"'],
    [{ "extra-node-etcd-args": { "--name": "a\n--data-dir=/" } }, "extra-node-etcd-args", "--name"],
    [{ "extra-sans": ["https://api.example.com"] }, "extra-sans", '"https://api.example.com"'],
    [{ "extra-sans": ["10.0.0.1:6443"] }, "extra-sans", '"10.0.0.1:6443"'],
    [{ "extra-node-containerd-config": { version: 99 } }, "extra-node-containerd-config", "version 99"],
  ];
  test.each(bad)("%j is refused", (config, field, part) => {
    expect(error(config)).toMatchObject({ kind: "invalid", field });
    expect(error(config).message).toContain(part);
  });
});

describe("load-balancer.cidrs", () => {
  test("CIDRs and ranges are stored apart and shown together, CIDRs first", () => {
    const stored = fromUserFacing({
      "load-balancer": { cidrs: ["10.0.0.10-10.0.0.20", "10.2.0.0/24", "fd00::1-fd00::9"] },
    });
    expect(stored["load-balancer"]).toEqual({
      cidrs: ["10.2.0.0/24"],
      ranges: [
        { start: "10.0.0.10", stop: "10.0.0.20" },
        { start: "fd00::1", stop: "fd00::9" },
      ],
    });
    expect(toUserFacing(stored)["load-balancer"]?.cidrs).toEqual([
      "10.2.0.0/24",
      "10.0.0.10-10.0.0.20",
      "fd00::1-fd00::9",
    ]);
  });

  test.each([
    ["10.0.0.0/33", 'load-balancer.cidrs contains an invalid CIDR "10.0.0.0/33": '],
    ["10.0.0.1", 'load-balancer.cidrs contains an invalid CIDR "10.0.0.1": '],
    [
      "10.0.0.1-10.0.0.2-10.0.0.3",
      'load-balancer.cidrs contains an IP range ("10.0.0.1-10.0.0.2-10.0.0.3") not in $START-$END format',
    ],
    ["x-10.0.0.2", 'load-balancer.cidrs contains an IP range ("x-10.0.0.2") with an invalid start IP ("x"): '],
    ["10.0.0.1-y", 'load-balancer.cidrs contains an IP range ("10.0.0.1-y") with an invalid stop IP ("y"): '],
    [
      "10.0.0.9-10.0.0.1",
      'load-balancer.cidrs contains an IP range ("10.0.0.9-10.0.0.1") with start IP ("10.0.0.9") greater than the stop IP ("10.0.0.1")',
    ],
  ])("%s is refused", (entry, message) => {
    expect(() => fromUserFacing({ "load-balancer": { cidrs: [entry] } })).toThrow(
      `invalid load-balancer.cidrs: ${message}`,
    );
  });
});

describe("what users see", () => {
  test("has every section, in the contract's order, and says that kube-proxy is undecided", () => {
    const shown = toUserFacing(clusterConfig.parse({}));
    expect(JSON.stringify(shown)).toBe(
      '{"network":{"kube-proxy-enabled":null},"dns":{},"ingress":{},"load-balancer":{},"local-storage":{},"gateway":{},"metrics-server":{}}',
    );
  });

  test("holds all that was given, and nothing else", () => {
    const given = bootstrapConfig.parse({
      "cluster-config": {
        network: { enabled: true, "kube-proxy-enabled": false },
        dns: {
          enabled: true,
          "cluster-domain": "a.b",
          "service-ip": "10.152.183.10",
          "upstream-nameservers": ["1.1.1.1"],
        },
        ingress: { enabled: false, "default-tls-secret": "x", "enable-proxy-protocol": true },
        "load-balancer": {
          enabled: true,
          cidrs: ["10.9.0.0/24"],
          "l2-mode": false,
          "l2-interfaces": ["eth0"],
          "bgp-mode": true,
          "bgp-local-asn": 1,
          "bgp-peer-address": "10.0.0.1/32",
          "bgp-peer-asn": 2,
          "bgp-peer-port": 180,
        },
        "local-storage": { enabled: true, "local-path": "/x", "reclaim-policy": "Retain", default: false },
        gateway: { enabled: true },
        "metrics-server": { enabled: false },
        "cloud-provider": "external",
        annotations: { a: "b" },
      },
    });
    const shown = toUserFacing(fromBootstrap(given).cluster);
    expect(JSON.stringify(shown)).toBe(JSON.stringify(given["cluster-config"]));
  });

  test("of the datastore are only the keys of an external one", () => {
    const external = {
      type: "external",
      "external-servers": ["https://a:1"],
      "external-client-key": "k",
      "etcd-ca-key": "secret",
    };
    expect(toConfigResponse(clusterConfig.parse({ datastore: external })).datastore).toEqual({
      type: "external",
      servers: ["https://a:1"],
      "client-key": "k",
    });
    expect(toConfigResponse(clusterConfig.parse({ datastore: { type: "etcd", "etcd-ca-key": "secret" } }))).toEqual({
      status: expect.anything(),
      datastore: { type: "etcd" },
    });
  });
});
