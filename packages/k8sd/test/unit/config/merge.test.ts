import { describe, expect, test } from "vitest";
import { annotationFlag } from "../../../src/cluster/config/annotations.ts";
import { applyDefaults } from "../../../src/cluster/config/defaults.ts";
import { mergeClusterConfig } from "../../../src/cluster/config/merge.ts";
import { type ClusterConfig, emptyClusterConfig } from "../../../src/cluster/config/types.ts";
import { fromUserFacing } from "../../../src/cluster/config/user-facing.ts";

type Patch = { [K in keyof ClusterConfig]?: ClusterConfig[K] };
const config = (patch: Patch = {}): ClusterConfig => ({ ...emptyClusterConfig(), ...patch });
const stored = (patch: Patch = {}): ClusterConfig => applyDefaults(config(patch));

const immutable: [string, Patch, Patch][] = [
  ["CA certificate", { certificates: { "ca-crt": "a" } }, { certificates: { "ca-crt": "b" } }],
  ["CA key", { certificates: { "ca-key": "a" } }, { certificates: { "ca-key": "b" } }],
  ["client CA certificate", { certificates: { "client-ca-crt": "a" } }, { certificates: { "client-ca-crt": "b" } }],
  ["client CA key", { certificates: { "client-ca-key": "a" } }, { certificates: { "client-ca-key": "b" } }],
  [
    "front proxy CA certificate",
    { certificates: { "front-proxy-ca-crt": "a" } },
    { certificates: { "front-proxy-ca-crt": "b" } },
  ],
  [
    "front proxy CA key",
    { certificates: { "front-proxy-ca-key": "a" } },
    { certificates: { "front-proxy-ca-key": "b" } },
  ],
  [
    "service account key",
    { certificates: { "service-account-key": "a" } },
    { certificates: { "service-account-key": "b" } },
  ],
  ["k8sd public key", { certificates: { "k8sd-public-key": "a" } }, { certificates: { "k8sd-public-key": "b" } }],
  ["k8sd private key", { certificates: { "k8sd-private-key": "a" } }, { certificates: { "k8sd-private-key": "b" } }],
  ["datastore type", {}, { datastore: { type: "external" } }],
  ["etcd CA certificate", { datastore: { "etcd-ca-crt": "a" } }, { datastore: { "etcd-ca-crt": "b" } }],
  ["etcd CA key", { datastore: { "etcd-ca-key": "a" } }, { datastore: { "etcd-ca-key": "b" } }],
  ["pod CIDR", {}, { network: { "pod-cidr": "10.2.0.0/16" } }],
  ["service CIDR", {}, { network: { "service-cidr": "10.153.0.0/24" } }],
  ["kube-apiserver secure port", {}, { apiserver: { port: 6444 } }],
  ["etcd client port", {}, { datastore: { "etcd-port": 1 } }],
  ["etcd peer port", {}, { datastore: { "etcd-peer-port": 1 } }],
  [
    "kubelet cluster DNS",
    { dns: { enabled: true }, kubelet: { "cluster-dns": "10.152.183.10" } },
    { kubelet: { "cluster-dns": "10.152.183.11" } },
  ],
  ["local storage path", { "local-storage": { enabled: true } }, { "local-storage": { "local-path": "/other" } }],
  [
    "local storage reclaim policy",
    { "local-storage": { enabled: true } },
    { "local-storage": { "reclaim-policy": "Retain" } },
  ],
];

describe("merge", () => {
  test.each(immutable)("%s cannot change once it is set, but can be set to what it is", (name, old, next) => {
    const before = stored(old);
    expect(() => mergeClusterConfig(before, config(next))).toThrow(`prevented update of ${name}: value cannot change`);
    expect(mergeClusterConfig(before, before)).toEqual(before);
  });

  test("taints cannot change; their error is that of a list", () => {
    const before = stored({ kubelet: { "control-plane-taints": ["a:NoSchedule"] } });
    const next = config({ kubelet: { "control-plane-taints": ["b:NoSchedule"] } });
    expect(() => mergeClusterConfig(before, next)).toThrow(
      "prevented update of control-plane register with taints: value has changed",
    );
  });

  test("what nobody has decided can be set at any time", () => {
    const next = config({ certificates: { "ca-crt": "a" }, kubelet: { "control-plane-taints": ["a:NoSchedule"] } });
    const merged = mergeClusterConfig(stored(), next);
    expect(merged.certificates["ca-crt"]).toBe("a");
    expect(merged.kubelet["control-plane-taints"]).toEqual(["a:NoSchedule"]);
  });

  test("false, empty text and zero are decisions, absent is none", () => {
    const before = stored({ ingress: { "default-tls-secret": "tls" }, "load-balancer": { "bgp-local-asn": 5 } });
    const next = config({
      ingress: { "default-tls-secret": "" },
      "load-balancer": { "bgp-local-asn": 0 },
      "metrics-server": { enabled: false },
    });
    const merged = mergeClusterConfig(before, next);
    expect(merged.ingress["default-tls-secret"]).toBe("");
    expect(merged["load-balancer"]["bgp-local-asn"]).toBe(0);
    expect(merged["metrics-server"].enabled).toBe(false);
    expect(mergeClusterConfig(before, config())).toEqual(before);
  });

  test("lists are replaced as a whole, an empty one too", () => {
    const before = stored({ dns: { "upstream-nameservers": ["1.1.1.1", "9.9.9.9"] } });
    const merged = (list: string[]) => mergeClusterConfig(before, config({ dns: { "upstream-nameservers": list } }));
    expect(merged(["8.8.8.8"]).dns["upstream-nameservers"]).toEqual(["8.8.8.8"]);
    expect(merged([]).dns["upstream-nameservers"]).toEqual([]);
  });

  test.each(["dns", "local-storage"] as const)(
    "what is fixed while %s is on can change in the request that turns it off",
    (feature) => {
      const before = stored({ [feature]: { enabled: true }, kubelet: { "cluster-dns": "10.152.183.10" } });
      const off = config({
        kubelet: { "cluster-dns": feature === "dns" ? "10.152.183.11" : "10.152.183.10" },
        [feature]: { enabled: false, ...(feature === "local-storage" ? { "local-path": "/other" } : {}) },
      });
      const merged = mergeClusterConfig(before, off);
      expect(merged[feature].enabled).toBe(false);
      expect(feature === "dns" ? merged.kubelet["cluster-dns"] : merged["local-storage"]["local-path"]).toBe(
        feature === "dns" ? "10.152.183.11" : "/other",
      );
    },
  );

  test("the result is validated", () => {
    const next = config({ gateway: { enabled: true } });
    expect(() => mergeClusterConfig(stored(), next)).toThrow(
      "updated cluster configuration is not valid: gateway requires network to be enabled",
    );
  });

  test("turning the network on while kube-proxy is stored as on is refused", () => {
    expect(() => mergeClusterConfig(stored(), fromUserFacing({ network: { enabled: true } }))).toThrow(
      "kube-proxy-enabled cannot be set to true when network is enabled",
    );
  });
});

describe("annotations", () => {
  test("are merged key by key, and '-' takes one away", () => {
    const before = stored({ annotations: { a: "1", b: "2", c: "3" } });
    const merged = mergeClusterConfig(before, config({ annotations: { a: "-", b: "20", d: "4" } }));
    expect(merged.annotations).toEqual({ b: "20", c: "3", d: "4" });
  });

  test("'-' is never stored, also when there are none yet", () => {
    expect(mergeClusterConfig(stored(), config({ annotations: { a: "-", b: "1" } })).annotations).toEqual({ b: "1" });
  });

  test.each([
    ["", true],
    ["true", true],
    ["false", false],
    ["0", false],
  ])("a flag with value %j is %s", (value, on) => {
    expect(annotationFlag({ annotations: { x: value } }, "x")).toBe(on);
    expect(annotationFlag({}, "x")).toBe(false);
  });
});
