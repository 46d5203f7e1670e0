import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { etcd } from "../../../src/components/etcd.ts";
import { k8sDatastore } from "../../../src/components/k8s-datastore.ts";
import { kubeApiserver } from "../../../src/components/kube-apiserver.ts";
import { kubeControllerManager } from "../../../src/components/kube-controller-manager.ts";
import { kubeScheduler } from "../../../src/components/kube-scheduler.ts";
import { aNode } from "./support.ts";

const pki = "/etc/kubernetes/pki";
const programPath =
  "/snap/k8s/current/usr/sbin:/snap/k8s/current/usr/bin:/snap/k8s/current/sbin:/snap/k8s/current/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const apiserverArguments = {
  "--advertise-address": "10.0.0.1",
  "--allow-privileged": "true",
  "--anonymous-auth": "false",
  "--authentication-token-webhook-config-file": "/var/snap/k8s/common/args/conf.d/auth-token-webhook.conf",
  "--authorization-config": "/var/snap/k8s/common/args/conf.d/authorization.yaml",
  "--client-ca-file": `${pki}/client-ca.crt`,
  "--enable-admission-plugins": "NodeRestriction",
  "--etcd-cafile": `${pki}/etcd/ca.crt`,
  "--etcd-certfile": `${pki}/apiserver-etcd-client.crt`,
  "--etcd-keyfile": `${pki}/apiserver-etcd-client.key`,
  "--etcd-servers": "https://127.0.0.1:2379",
  "--kubelet-certificate-authority": `${pki}/ca.crt`,
  "--kubelet-client-certificate": `${pki}/apiserver-kubelet-client.crt`,
  "--kubelet-client-key": `${pki}/apiserver-kubelet-client.key`,
  "--kubelet-preferred-address-types": "InternalIP,Hostname,InternalDNS,ExternalDNS,ExternalIP",
  "--profiling": "false",
  "--proxy-client-cert-file": `${pki}/front-proxy-client.crt`,
  "--proxy-client-key-file": `${pki}/front-proxy-client.key`,
  "--request-timeout": "300s",
  "--requestheader-allowed-names": "front-proxy-client",
  "--requestheader-client-ca-file": `${pki}/front-proxy-ca.crt`,
  "--requestheader-extra-headers-prefix": "X-Remote-Extra-",
  "--requestheader-group-headers": "X-Remote-Group",
  "--requestheader-username-headers": "X-Remote-User",
  "--secure-port": "6443",
  "--service-account-issuer": "https://kubernetes.default.svc",
  "--service-account-key-file": `${pki}/serviceaccount.key`,
  "--service-account-signing-key-file": `${pki}/serviceaccount.key`,
  "--service-cluster-ip-range": "10.152.183.0/24",
  "--tls-cert-file": `${pki}/apiserver.crt`,
  "--tls-cipher-suites":
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
  "--tls-min-version": "VersionTLS12",
  "--tls-private-key-file": `${pki}/apiserver.key`,
};

describe("kube-apiserver", () => {
  test("runs with exactly these arguments, file and directory", () => {
    const rendered = kubeApiserver.render(aNode());
    expect(rendered.service).toEqual({
      name: "kube-apiserver",
      description: "Kubernetes API server",
      program: "/snap/k8s/current/bin/kube-apiserver",
      args: apiserverArguments,
      env: { PATH: programPath },
      after: ["k8s-datastore", "etcd"],
      notifies: false,
      delegates: false,
      kill: "group",
      stopTimeoutSeconds: 5,
    });
    expect(rendered.directories).toEqual([{ path: "/var/snap/k8s/common/args/conf.d", mode: 0o700 }]);
    const confD = "/var/snap/k8s/common/args/conf.d";
    const asks = [
      [`${confD}/auth-token-webhook.conf`, "k8s-token-auth-service", "webhook"],
      [`${confD}/authorization-webhook.conf`, "k8s-node-auth-service", "node-webhook"],
    ] as const;
    expect(rendered.files.map(({ path, mode }) => [path, mode])).toEqual(asks.map(([path]) => [path, 0o600]));
    expect(rendered.files.map(({ content }) => parse(String(content)))).toEqual(
      asks.map(([_path, name, endpoint]) => ({
        apiVersion: "v1",
        kind: "Config",
        clusters: [
          {
            name,
            cluster: {
              "certificate-authority": "/var/snap/k8s/common/var/lib/k8sd/state/cluster.crt",
              server: `https://10.0.0.1:6400/1.0/kubernetes/auth/${endpoint}`,
              "tls-server-name": "127.0.0.1",
            },
          },
        ],
        users: [{ name: "k8s-apiserver", user: {} }],
        contexts: [{ name: "webhook", context: { cluster: name, user: "k8s-apiserver" } }],
        "current-context": "webhook",
      })),
    );
  });

  const network = aNode().network;
  const external = { engine: "external", endpoints: ["http://10.9.0.1:2379", "http://10.9.0.2:2379"] } as const;
  test.each([
    ["AlwaysAllow", { authorizationMode: "AlwaysAllow" }, {}],
    ["another port", { securePort: 16443 }, { "--secure-port": "16443" }],
    ["a node on loopback", { addresses: ["127.0.0.1"] }, { "--advertise-address": undefined }],
    ["IPv6", { addresses: ["fd00::1"] }, { "--advertise-address": "fd00::1" }],
    [
      "dual stack",
      { network: { ...network, serviceCidrs: ["10.152.183.0/24", "fd98::/108"] } },
      { "--service-cluster-ip-range": "10.152.183.0/24,fd98::/108" },
    ],
    [
      "an external datastore with certificates",
      { datastore: { ...external, ca: true, clientCertificate: true } },
      {
        "--etcd-servers": "http://10.9.0.1:2379,http://10.9.0.2:2379",
        "--etcd-cafile": `${pki}/etcd/ca.crt`,
        "--etcd-certfile": `${pki}/etcd/client.crt`,
        "--etcd-keyfile": `${pki}/etcd/client.key`,
      },
    ],
    [
      "an external datastore without certificates",
      { datastore: { ...external, ca: false, clientCertificate: false } },
      {
        "--etcd-servers": "http://10.9.0.1:2379,http://10.9.0.2:2379",
        "--etcd-cafile": undefined,
        "--etcd-certfile": undefined,
        "--etcd-keyfile": undefined,
      },
    ],
    [
      "extra arguments",
      {
        extraArgs: {
          "kube-apiserver": { "--profiling": "true", "--anonymous-auth": null, "--v": "4" },
          kubelet: { "--v": "9" },
        },
      },
      { "--profiling": "true", "--anonymous-auth": undefined, "--v": "4" },
    ],
  ])("%s changes exactly what it concerns", (_case, over, changes) => {
    const expected = Object.entries({ ...apiserverArguments, ...changes }).filter(([, value]) => value !== undefined);
    expect(kubeApiserver.render(aNode(over)).service.args).toEqual(Object.fromEntries(expected));
  });

  test("is wanted on control planes only", () => {
    expect(kubeApiserver.wanted(aNode())).toBe(true);
    expect(kubeApiserver.wanted(aNode({ role: "worker" }))).toBe(false);
  });
});

describe("kube-controller-manager", () => {
  const plain = {
    "--authentication-kubeconfig": "/etc/kubernetes/controller.conf",
    "--authorization-kubeconfig": "/etc/kubernetes/controller.conf",
    "--flex-volume-plugin-dir": "/var/lib/kubelet/volume-plugins",
    "--kubeconfig": "/etc/kubernetes/controller.conf",
    "--leader-elect-lease-duration": "30s",
    "--leader-elect-renew-deadline": "15s",
    "--profiling": "false",
    "--root-ca-file": `${pki}/ca.crt`,
    "--service-account-private-key-file": `${pki}/serviceaccount.key`,
    "--terminated-pod-gc-threshold": "12500",
    "--tls-min-version": "VersionTLS12",
    "--use-service-account-credentials": "true",
  };
  const forClients = {
    "--cluster-signing-kube-apiserver-client-cert-file": `${pki}/client-ca.crt`,
    "--cluster-signing-kube-apiserver-client-key-file": `${pki}/client-ca.key`,
    "--cluster-signing-kubelet-client-cert-file": `${pki}/client-ca.crt`,
    "--cluster-signing-kubelet-client-key-file": `${pki}/client-ca.key`,
  };
  const forServers = {
    "--cluster-signing-kubelet-serving-cert-file": `${pki}/ca.crt`,
    "--cluster-signing-kubelet-serving-key-file": `${pki}/ca.key`,
    "--cluster-signing-legacy-unknown-cert-file": `${pki}/ca.crt`,
    "--cluster-signing-legacy-unknown-key-file": `${pki}/ca.key`,
  };
  const bothSigned = { "--cluster-signing-cert-file": "/x.crt", "--cluster-signing-key-file": "/x.key" };
  const kubelet = { ...aNode().kubelet, cloudProvider: "external" };

  test.each([
    ["signs for clients with the client CA", {}, { ...plain, ...forClients, ...forServers }],
    ["signs nothing without keys", { signing: { ca: false, clientCa: false } }, plain],
    ["signs with the one key there is", { signing: { ca: true, clientCa: false } }, { ...plain, ...forServers }],
    [
      "leaves signing to the user's own pair",
      { extraArgs: { "kube-controller-manager": bothSigned } },
      { ...plain, ...bothSigned },
    ],
    [
      "knows an external cloud provider",
      { kubelet },
      { ...plain, ...forClients, ...forServers, "--cloud-provider": "external" },
    ],
  ])("%s", (_case, over, expected) => {
    const { service, files } = kubeControllerManager.render(aNode(over));
    expect(service.args).toEqual(expected);
    expect(service.after).toEqual(["kube-apiserver"]);
    expect(files).toEqual([]);
  });
});

test("kube-scheduler runs with exactly these arguments", () => {
  const { service, files, directories } = kubeScheduler.render(aNode());
  expect(service.args).toEqual({
    "--authentication-kubeconfig": "/etc/kubernetes/scheduler.conf",
    "--authorization-kubeconfig": "/etc/kubernetes/scheduler.conf",
    "--kubeconfig": "/etc/kubernetes/scheduler.conf",
    "--leader-elect-lease-duration": "30s",
    "--leader-elect-renew-deadline": "15s",
    "--profiling": "false",
    "--tls-min-version": "VersionTLS12",
  });
  expect([files, directories]).toEqual([[], []]);
});

describe("the datastore", () => {
  test.each([
    ["127.0.0.1", "https://127.0.0.1:2379"],
    ["::1", "https://[::1]:2379"],
  ])("k8s-datastore listens on %s alone", (loopback, url) => {
    const { service, directories } = k8sDatastore.render(aNode({ loopback }));
    expect(service.args).toEqual({
      "--cert-file": `${pki}/etcd/server.crt`,
      "--client-cert-auth": "true",
      "--client-keys": "kube-apiserver-etcd-client=/registry/,compact_rev_key",
      "--data-dir": "/var/snap/k8s/common/var/lib/k8s-datastore",
      "--key-file": `${pki}/etcd/server.key`,
      "--listen-client-urls": url,
      "--name": "n1",
      "--trusted-ca-file": `${pki}/etcd/ca.crt`,
    });
    expect(directories).toEqual([{ path: "/var/snap/k8s/common/var/lib/k8s-datastore", mode: 0o700 }]);
  });

  const managed = (state: "new" | "existing", peers: Record<string, string>) =>
    ({
      engine: "etcd",
      endpoints: ["https://127.0.0.1:2379"],
      clientPort: 2379,
      peerPort: 2380,
      initialCluster: { state, peers },
    }) as const;

  test("a managed etcd runs with exactly these arguments", () => {
    const datastore = managed("existing", { n2: "https://10.0.0.2:2380", n1: "https://10.0.0.1:2380" });
    expect(etcd.render(aNode({ datastore })).service.args).toEqual({
      "--advertise-client-urls": "https://10.0.0.1:2379",
      "--auto-tls": "false",
      "--cert-file": `${pki}/etcd/server.crt`,
      "--client-cert-auth": "true",
      "--data-dir": "/var/snap/k8s/common/var/lib/etcd/data",
      "--enable-grpc-gateway": "false",
      "--initial-advertise-peer-urls": "https://10.0.0.1:2380",
      "--initial-cluster": "n1=https://10.0.0.1:2380,n2=https://10.0.0.2:2380",
      "--initial-cluster-state": "existing",
      "--key-file": `${pki}/etcd/server.key`,
      "--listen-client-urls": "https://10.0.0.1:2379,https://127.0.0.1:2379",
      "--listen-peer-urls": "https://10.0.0.1:2380",
      "--name": "n1",
      "--peer-auto-tls": "false",
      "--peer-cert-file": `${pki}/etcd/peer.crt`,
      "--peer-client-cert-auth": "true",
      "--peer-key-file": `${pki}/etcd/peer.key`,
      "--peer-trusted-ca-file": `${pki}/etcd/ca.crt`,
      "--strict-reconfig-check": "false",
      "--trusted-ca-file": `${pki}/etcd/ca.crt`,
    });
  });

  test("an IPv6 address has its brackets, a node on loopback listens once", () => {
    const six = etcd.render(aNode({ addresses: ["fd00::1"], loopback: "::1", datastore: managed("new", {}) })).service
      .args;
    expect(six["--listen-client-urls"]).toBe("https://[fd00::1]:2379,https://[::1]:2379");
    const local = etcd.render(aNode({ addresses: ["127.0.0.1"], datastore: managed("new", {}) })).service.args;
    expect(local["--listen-client-urls"]).toBe("https://127.0.0.1:2379");
  });
});
