import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { backdateMs } from "../../../src/pki/certificate.ts";
import { completePki } from "../../../src/pki/complete.ts";
import { lifetimes } from "../../../src/pki/lifetimes.ts";
import { nodeUid } from "../../../src/pki/node-identity.ts";
import { namesOf } from "../../../src/pki/x509.ts";
import { aNode, anAuthority, bootstrap, cluster, now, options } from "./support.ts";

describe("the set of a new cluster", () => {
  test("has exactly the files of a control plane, all readable by root alone", () => {
    expect(bootstrap.files.map((file) => file.path).sort()).toEqual(
      [
        ...["ca", "client-ca"].flatMap((name) => [`${name}.crt`, `${name}.key`]),
        "front-proxy-ca.crt",
        "etcd/ca.crt",
        ...[
          "apiserver",
          "apiserver-kubelet-client",
          "front-proxy-client",
          "kubelet",
          "etcd/server",
          "etcd/peer",
        ].flatMap((name) => [`${name}.crt`, `${name}.key`]),
        "apiserver-etcd-client.crt",
        "apiserver-etcd-client.key",
        "serviceaccount.key",
      ]
        .map((file) => `/etc/kubernetes/pki/${file}`)
        .concat(
          ["cluster", "server", "datastore-client"].flatMap((name) => [`/state/${name}.crt`, `/state/${name}.key`]),
        )
        .sort(),
    );
    expect(new Set(bootstrap.files.map((file) => file.mode))).toEqual(new Set([0o600]));
    expect(bootstrap.kubeconfigs.map((entry) => entry.file).sort()).toEqual([
      "admin.conf",
      "controller.conf",
      "kubelet.conf",
      "proxy.conf",
      "scheduler.conf",
    ]);
  });

  test("leaves no authority's key on disk when k8sd alone signs", () => {
    const files = completePki({}, aNode(), options({ signingKeysOnDisk: false })).files.map((file) => file.path);
    expect(files.filter((path) => /ca\.key$/.test(path))).toEqual([]);
  });

  test("names the API server by cluster domain, host name, node name, service address and extra names", () => {
    const names = namesOf(new X509Certificate(bootstrap.pairs.apiserver?.certificate ?? ""));
    expect(names.dns).toEqual([
      "kubernetes",
      "kubernetes.default",
      "kubernetes.default.svc",
      "kubernetes.default.svc.cluster",
      "kubernetes.default.svc.cluster.local",
      "kubernetes.default.svc.corp.example",
      "n1",
      "machine-1",
      "localhost",
      "api.example.com",
    ]);
    expect(names.ip).toEqual(["10.0.0.5", "fd00::5", "fe80::1", "10.152.183.1", "127.0.0.1", "::1", "192.0.2.7"]);
  });

  test("starts certificates in the past, and ends leaves after a year and authorities after twenty", () => {
    const dates = (pem: string | undefined): readonly number[] => {
      const certificate = new X509Certificate(pem ?? "");
      return [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
    };
    const second = Math.floor(now.getTime() / 1000) * 1000;
    expect(dates(bootstrap.pairs.kubelet?.certificate)).toEqual([second - backdateMs, second + lifetimes.leaf]);
    expect(dates(cluster["ca-crt"])).toEqual([second - backdateMs, second + lifetimes.authority]);
  });

  test("gives a node that joins its own leaves under the same authorities", () => {
    const joined = completePki(cluster, aNode({ nodeName: "n2" }), options({ createAuthorities: false }));
    const own = new X509Certificate(joined.pairs.kubelet?.certificate ?? "");
    expect(own.verify(new X509Certificate(cluster["ca-crt"] ?? "").publicKey)).toBe(true);
    expect(own.subject).toContain("CN=system:node:n2");
    expect(joined.cluster).toEqual(cluster);
    expect(joined.pairs.apiserver).not.toEqual(bootstrap.pairs.apiserver);
    expect(joined.pairs["apiserver-kubelet-client"]).toEqual(bootstrap.pairs["apiserver-kubelet-client"]);
  });

  test("names the node in what its programs prove themselves with, and not in a person's", () => {
    const uidOf = ({ certificate }: { readonly certificate: string }) =>
      /1\.3\.6\.1\.4\.1\.57683\.2=(.*)/.exec(new X509Certificate(certificate).subject)?.[1];
    const uid = nodeUid(aNode().id);
    expect(bootstrap.kubeconfigs.map((entry) => [entry.file, uidOf(entry)])).toEqual([
      ["admin.conf", undefined],
      ["controller.conf", uid],
      ["kubelet.conf", uid],
      ["proxy.conf", uid],
      ["scheduler.conf", uid],
    ]);
  });

  test("gives a worker its two authorities without keys, and three identities", () => {
    const worker = completePki(cluster, aNode(), options({ role: "worker", createAuthorities: false }));
    expect(worker.files.map((file) => file.path)).toEqual(
      ["ca.crt", "client-ca.crt", "kubelet.crt", "kubelet.key"]
        .map((file) => `/etc/kubernetes/pki/${file}`)
        .concat(["/state/server.crt", "/state/server.key"]),
    );
    expect(worker.kubeconfigs.map((entry) => entry.file)).toEqual(["kubelet.conf", "proxy.conf"]);
    expect(Object.keys(worker.cluster).filter((key) => key.endsWith("-key"))).toEqual([]);
  });

  test("writes every key as kube-apiserver reads it, whatever form it came in", () => {
    const key = generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;
    const pem = key.export({ type: "pkcs8", format: "pem" }).toString();
    const completed = completePki({ "service-account-key": pem }, aNode(), options());
    const file = completed.files.find((candidate) => candidate.path.endsWith("/serviceaccount.key"));
    expect(file?.content).toMatch(/^-----BEGIN EC PRIVATE KEY-----/);
    expect(createPrivateKey(String(file?.content)).equals(key)).toBe(true);
  });

  test("takes RSA and Ed25519 authorities", () => {
    for (const key of [generateKeyPairSync("rsa", { modulusLength: 2048 }), generateKeyPairSync("ed25519")]) {
      const own = anAuthority(key.privateKey);
      const completed = completePki(own, aNode(), options());
      const certificate = new X509Certificate(completed.pairs.apiserver?.certificate ?? "");
      expect(certificate.verify(key.publicKey)).toBe(true);
    }
  });
});

test("every certificate is for one side only, but those of etcd's members", () => {
  const both = Object.keys(bootstrap.pairs).filter((name) => {
    const usages = new X509Certificate(bootstrap.pairs[name as keyof typeof bootstrap.pairs]?.certificate ?? "")
      .keyUsage;
    return usages.length > 1;
  });
  expect(both).toEqual(["etcd-server", "etcd-peer"]);
});
