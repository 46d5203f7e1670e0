import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { extraConfigFiles } from "../../../src/components/extra-files.ts";
import { kubelet } from "../../../src/components/kubelet.ts";
import { parseTaint } from "../../../src/components/kubelet-config.ts";
import { wantedNodeLabels } from "../../../src/components/node-labels.ts";
import { portNeeds } from "../../../src/components/ports.ts";
import { allComponents, wantedComponents } from "../../../src/components/wanted.ts";
import { aNode, aWorker } from "./support.ts";

const machine = aNode().machine;

describe("kubelet", () => {
  const plainArguments = {
    "--cert-dir": "/var/lib/kubelet/pki",
    "--config": "/var/snap/k8s/common/args/conf.d/kubelet.yaml",
    "--kubeconfig": "/etc/kubernetes/kubelet.conf",
    "--node-ip": "10.0.0.1",
    "--node-labels": "k8sd.io/role=control-plane",
    "--root-dir": "/var/lib/kubelet",
  };
  const plainConfig = {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: "/etc/kubernetes/pki/client-ca.crt" },
    },
    authorization: { mode: "Webhook" },
    cgroupDriver: "systemd",
    clusterDNS: ["10.152.183.10"],
    clusterDomain: "cluster.local",
    containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock",
    evictionHard: { "memory.available": "100Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi" },
    failSwapOn: false,
    healthzBindAddress: "127.0.0.1",
    healthzPort: 10248,
    podLogsDir: "/var/log/pods",
    readOnlyPort: 0,
    resolvConf: "/etc/resolv.conf",
    serializeImagePulls: false,
    tlsCertFile: "/etc/kubernetes/pki/kubelet.crt",
    tlsCipherSuites: [
      "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
      "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
      "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
      "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
      "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
      "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    ],
    tlsPrivateKeyFile: "/etc/kubernetes/pki/kubelet.key",
    volumePluginDir: "/var/lib/kubelet/volume-plugins",
  };

  test("runs with exactly these arguments, file and directories", () => {
    const rendered = kubelet.render(aNode());
    expect(rendered.service).toMatchObject({ args: plainArguments, delegates: true, kill: "process", notifies: false });
    expect(Object.keys(rendered.service.args)).toEqual(Object.keys(plainArguments));
    expect(rendered.files).toHaveLength(1);
    expect(rendered.files[0]).toMatchObject({ path: "/var/snap/k8s/common/args/conf.d/kubelet.yaml", mode: 0o600 });
    expect(parse(String(rendered.files[0]?.content))).toEqual(plainConfig);
    expect(rendered.directories).toEqual([
      { path: "/var/snap/k8s/common/args/conf.d", mode: 0o700 },
      { path: "/var/lib/kubelet", mode: 0o700 },
      { path: "/var/log/pods", mode: 0o755 },
      { path: "/var/log/containers", mode: 0o755 },
    ]);
  });

  test.each([
    ["another host name", { hostname: "machine" }, { "--hostname-override": "n1" }],
    ["dual stack", { addresses: ["10.0.0.1", "fd00::1"] }, { "--node-ip": "10.0.0.1,fd00::1" }],
    ["a node on loopback", { addresses: ["127.0.0.1"] }, { "--node-ip": undefined }],
    ["a worker", { role: "worker" as const }, { "--node-labels": "k8sd.io/role=worker" }],
    [
      "a cloud provider",
      { kubelet: { ...aNode().kubelet, cloudProvider: "external" } },
      { "--cloud-provider": "external" },
    ],
    [
      "extra arguments",
      { extraArgs: { kubelet: { "--max-pods": "20", "--eviction-hard": "memory.available<1Gi", "--cert-dir": null } } },
      { "--max-pods": "20", "--eviction-hard": "memory.available<1Gi", "--cert-dir": undefined },
    ],
    [
      "labels of the user, without those that kubelet refuses",
      {
        extraArgs: {
          kubelet: { "--node-labels": "a=b,node-role.kubernetes.io/worker=,topology.kubernetes.io/zone=z1" },
        },
      },
      { "--node-labels": "a=b,topology.kubernetes.io/zone=z1" },
    ],
    [
      "no labels when the user wants none",
      { extraArgs: { kubelet: { "--node-labels": null } } },
      { "--node-labels": undefined },
    ],
  ])("%s changes exactly what it concerns on the command line", (_case, over, changes) => {
    const expected = Object.entries({ ...plainArguments, ...changes }).filter(([, value]) => value !== undefined);
    expect(kubelet.render(aNode(over)).service.args).toEqual(Object.fromEntries(expected));
  });

  test.each([
    ["cgroup v1", { cgroups: "v1" as const }, { failCgroupV1: false }],
    ["hybrid cgroups", { cgroups: "hybrid" as const }, { failCgroupV1: false }],
    ["a host without systemd", { machine: { ...machine, systemd: false } }, { cgroupDriver: "cgroupfs" }],
    ["no usable resolv.conf", { machine: { ...machine, resolvConf: undefined } }, { resolvConf: undefined }],
    ["IPv6 loopback", { loopback: "::1" }, { healthzBindAddress: "::1" }],
    [
      "taints",
      { kubelet: { ...aNode().kubelet, taints: ["a=b:NoSchedule", "c:NoExecute"] } },
      {
        registerWithTaints: [
          { key: "a", value: "b", effect: "NoSchedule" },
          { key: "c", effect: "NoExecute" },
        ],
      },
    ],
    [
      "no DNS yet",
      { kubelet: { ...aNode().kubelet, clusterDns: undefined, clusterDomain: "" } },
      { clusterDNS: undefined, clusterDomain: undefined },
    ],
    [
      "flags deleted by the user",
      { extraArgs: { kubelet: { "--eviction-hard": null, "--anonymous-auth": null, "--read-only-port": null } } },
      {
        evictionHard: undefined,
        readOnlyPort: undefined,
        authentication: { webhook: { enabled: true }, x509: { clientCAFile: "/etc/kubernetes/pki/client-ca.crt" } },
      },
    ],
  ])("%s changes exactly what it concerns in the file", (_case, over, changes) => {
    const expected = Object.entries({ ...plainConfig, ...changes }).filter(([, value]) => value !== undefined);
    const [file] = kubelet.render(aNode(over)).files;
    expect(parse(String(file?.content))).toEqual(Object.fromEntries(expected));
  });

  test.each(["", "a", "a=b", "a=b:Never", "a b:NoSchedule", "a=b=c:NoSchedule"])("refuses %o as a taint", (text) => {
    expect(() => parseTaint(text)).toThrow(expect.objectContaining({ kind: "invalid", field: "control-plane-taints" }));
  });
});

describe("labels of the node", () => {
  test.each([
    [
      aNode(),
      {
        "node-role.kubernetes.io/control-plane": "",
        "node-role.kubernetes.io/worker": "",
        "k8sd.io/role": "control-plane",
      },
    ],
    [aWorker(), { "node-role.kubernetes.io/worker": "", "k8sd.io/role": "worker" }],
    [aNode({ extraArgs: { kubelet: { "--node-labels": "a=b, c" } } }), { a: "b", c: "" }],
    [aNode({ extraArgs: { kubelet: { "--node-labels": null } } }), {}],
  ])("follow the role or the user's wish", (node, labels) => {
    expect(wantedNodeLabels(node)).toEqual(labels);
  });

  test.each(["node-role.kubernetes.io/gpu=", "kubernetes.io/x=y", "foo.k8s.io/x=y"])(
    "%s is refused before kubelet refuses to start",
    (label) => {
      const node = aNode({ extraArgs: { kubelet: { "--node-labels": label } } });
      expect(() => kubelet.render(node)).toThrow(
        expect.objectContaining({ kind: "invalid", field: "extra-node-kubelet-args" }),
      );
    },
  );

  test.each(["node.kubernetes.io/x=y", "a.kubelet.kubernetes.io/x=y", "example.com/x=y", "x=y"])(
    "%s is left to kubelet",
    (label) => {
      const node = aNode({ extraArgs: { kubelet: { "--node-labels": label } } });
      expect(kubelet.render(node).service.args["--node-labels"]).toBe(label);
    },
  );
});

describe("the components of a node", () => {
  const names = (node: Parameters<typeof wantedComponents>[0]) => wantedComponents(node).map(({ name }) => name);
  const controlPlane = [
    "containerd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
  ];
  const managed = {
    engine: "etcd",
    endpoints: [],
    clientPort: 2379,
    peerPort: 2380,
    initialCluster: { state: "new", peers: {} },
  } as const;

  test("stand in start order and follow role, engine and network", () => {
    expect(names(aNode())).toEqual(["k8s-datastore", ...controlPlane]);
    expect(names(aNode({ datastore: managed }))).toEqual(["etcd", ...controlPlane]);
    expect(
      names(aNode({ datastore: { engine: "external", endpoints: [], ca: false, clientCertificate: false } })),
    ).toEqual(controlPlane);
    expect(names(aWorker())).toEqual(["containerd", "k8s-apiserver-proxy", "kubelet", "kube-proxy"]);
    expect(names(aWorker({ network: { ...aNode().network, kubeProxyEnabled: false } }))).toEqual([
      "containerd",
      "k8s-apiserver-proxy",
      "kubelet",
    ]);
  });

  test("start after the ones they name: no order contradicts another", () => {
    const order = allComponents.map(({ name }) => name);
    for (const node of [aNode(), aNode({ datastore: managed }), aWorker()]) {
      for (const component of wantedComponents(node)) {
        const earlier = order.slice(0, order.indexOf(component.name));
        const known = component.render(node).service.after.filter((name) => order.includes(name));
        expect(earlier).toEqual(expect.arrayContaining(known));
      }
    }
  });

  const ports = (node: Parameters<typeof portNeeds>[0]) =>
    portNeeds(node, names(node)).map(({ service, address, port }) => `${service} ${address ?? "*"} ${port}`);

  test("need the ports they really use", () => {
    expect(ports(aNode())).toEqual([
      "k8s-datastore 127.0.0.1 2379",
      "kube-apiserver * 6443",
      "kube-controller-manager * 10257",
      "kube-scheduler * 10259",
      "kubelet * 10250",
      "kubelet * 10248",
      "kube-proxy 127.0.0.1 10256",
      "kube-proxy 127.0.0.1 10249",
    ]);
    const moved = {
      kubelet: { "--healthz-port": "0", "--port": "20250", "--read-only-port": "10255" },
      "kube-proxy": { "--healthz-bind-address": "[fd00::1]:20256", "--metrics-bind-address": "" },
    };
    expect(ports(aWorker({ extraArgs: moved }))).toEqual([
      "k8s-apiserver-proxy * 6443",
      "kubelet * 20250",
      "kubelet * 10255",
      "kube-proxy fd00::1 20256",
    ]);
    expect(portNeeds(aNode({ datastore: managed }), ["etcd"]).map(({ port, field }) => [port, field])).toEqual([
      [2379, "etcd-port"],
      [2380, "etcd-peer-port"],
    ]);
  });
});

describe("extra configuration files", () => {
  test("lie read-only in conf.d", () => {
    expect(extraConfigFiles(aNode({ extraConfigFiles: { "audit.yaml": "a: b\n" } }))).toEqual([
      { path: "/var/snap/k8s/common/args/conf.d/audit.yaml", content: "a: b\n", mode: 0o400 },
    ]);
  });

  test.each([
    "a/b",
    "../x",
    "",
    ".",
    ".hidden",
    "a\nb",
    "kubelet.yaml",
    "auth-token-webhook.conf",
    "authorization.yaml",
  ])("%o is no name for one", (name) => {
    expect(() => extraConfigFiles(aNode({ extraConfigFiles: { [name]: "" } }))).toThrow(
      expect.objectContaining({ kind: "invalid", field: "extra-node-config-files" }),
    );
  });
});
