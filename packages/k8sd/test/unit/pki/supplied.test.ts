import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { issueCertificate } from "../../../src/pki/certificate.ts";
import { completePki } from "../../../src/pki/complete.ts";
import { generateKey, privateKeyPem, publicKeyOf } from "../../../src/pki/keys.ts";
import { lifetimes } from "../../../src/pki/lifetimes.ts";
import { altNames, noNames } from "../../../src/pki/names.ts";
import { aNode, anAuthority, cluster, failure, hour, type Leaf, leaf, now, options } from "./support.ts";

describe("what a user supplies", () => {
  test("is used, with our own certificates for the rest", () => {
    const own = leaf({ dns: ["kubernetes"], ip: ["127.0.0.1"] });
    const completed = completePki(
      { ...cluster, "apiserver-crt": own.certificate, "apiserver-key": own.key },
      aNode(),
      options(),
    );
    expect(completed.pairs.apiserver).toEqual(own);
  });

  test("never lets a leaf outlive its authority", () => {
    const completed = completePki(anAuthority(generateKey(), 30 * 24 * hour), aNode(), options());
    const end = (pem: string | undefined): Date => new X509Certificate(pem ?? "").validToDate;
    expect(end(completed.pairs.apiserver?.certificate)).toEqual(end(completed.cluster["ca-crt"]));
  });

  test.each([
    ["ca", "kubernetes CA key is set without a certificate"],
    ["client-ca", "kubernetes CA client key is set without a certificate"],
    ["front-proxy-ca", "front-proxy CA key is set without a certificate"],
    ["etcd-ca", "etcd CA key is set without a certificate"],
  ] as const)("a key of %s without its certificate is refused", (name, text) => {
    const error = failure({ [`${name}-key`]: cluster[`${name}-key`] });
    expect(error).toMatchObject({ kind: "invalid", field: `${name}-key` });
    expect(error.message).toContain(text);
    expect(error.remedy).toContain(`${name}-crt`);
  });

  test.each([
    ["ca", "apiserver", "using an external kubernetes CA without providing the apiserver certificate"],
    ["client-ca", "admin-client", "using an external kubernetes CA client without providing the admin certificate"],
    [
      "front-proxy-ca",
      "front-proxy-client",
      "using an external front-proxy CA without providing the front-proxy-client",
    ],
    ["etcd-ca", "etcd-server", "using an external etcd CA without providing the etcd-server certificate"],
  ] as const)("an external %s demands the certificates it signs", (name, first, text) => {
    const { "apiserver-kubelet-client-crt": _crt, "apiserver-kubelet-client-key": _key, ...rest } = cluster;
    const error = failure({ ...(name === "client-ca" ? cluster : rest), [`${name}-key`]: "" });
    expect(error).toMatchObject({ kind: "invalid", field: `${first}-crt` });
    expect(error.message).toContain(text);
  });

  test("an external etcd authority is enough when its certificates are supplied", () => {
    const server = leaf({ authority: "etcd-ca", usages: ["server", "client"], ip: ["127.0.0.1"] });
    const supplied = {
      ...cluster,
      "etcd-ca-key": "",
      "etcd-server-crt": server.certificate,
      "etcd-server-key": server.key,
      "etcd-peer-crt": server.certificate,
      "etcd-peer-key": server.key,
    };
    const completed = completePki(supplied, aNode(), options());
    expect(completed.pairs["k8sd-datastore-client"]).toEqual(server);
    const serverOnly = leaf({ authority: "etcd-ca", usages: ["server"], ip: ["127.0.0.1"] });
    const error = failure({
      ...supplied,
      "etcd-server-crt": serverOnly.certificate,
      "etcd-server-key": serverOnly.key,
    });
    expect(error).toMatchObject({ field: "etcd-server-crt", kind: "invalid" });
    expect(error.message).toContain("clientAuth");
  });

  const wrongLeaves: readonly (readonly [string, string, Leaf, string])[] = [
    [
      "apiserver",
      "kubernetes is not among its names",
      { dns: ["other"], ip: ["127.0.0.1"] },
      "not valid for kubernetes",
    ],
    ["apiserver", "components cannot reach it on loopback", { dns: ["kubernetes"] }, "not valid for 127.0.0.1"],
    [
      "apiserver",
      "it may only be a client",
      { dns: ["kubernetes"], ip: ["127.0.0.1"], usages: ["client"] },
      "serverAuth",
    ],
    ["apiserver", "another authority signed it", { authority: "client-ca" }, "not signed by ca-crt"],
    ["apiserver", "it expired", { at: new Date(now.getTime() - 3 * hour), lifetimeMs: hour }, "expired at"],
    ["apiserver", "it starts later", { at: new Date(now.getTime() + hour) }, "not valid before"],
    ["kubelet", "it is for another node", { dns: ["n2"] }, "not valid for n1"],
    [
      "kubelet-client",
      "it is another node's identity",
      { authority: "client-ca", usages: ["client"], commonName: "system:node:n2", organization: "system:nodes" },
      "subject is not O=system:nodes, CN=system:node:n1",
    ],
    [
      "front-proxy-client",
      "kube-apiserver does not allow its name",
      { authority: "front-proxy-ca", usages: ["client"], commonName: "other" },
      "subject is not CN=front-proxy-client",
    ],
    ["kube-scheduler-client", "it may only serve", { authority: "client-ca", usages: ["server"] }, "clientAuth"],
    ["etcd-peer", "it cannot dial other members", { authority: "etcd-ca", usages: ["server"] }, "clientAuth"],
  ];
  test.each(wrongLeaves)("a certificate for %s is refused when %s", (name, _why, spec, text) => {
    const own = leaf(spec);
    const error = failure({ ...cluster, [`${name}-crt`]: own.certificate, [`${name}-key`]: own.key });
    expect(error).toMatchObject({ kind: "invalid", field: `${name}-crt` });
    expect(error.message).toContain("certificate validation failure: ");
    expect(error.message).toContain(text);
    expect(error.remedy).toBeTruthy();
  });

  test("half a pair, a foreign key, and texts that are no PEM are refused", () => {
    const own = leaf({ dns: ["kubernetes"], ip: ["127.0.0.1"] });
    const other = privateKeyPem(generateKey());
    expect(failure({ ...cluster, "apiserver-crt": own.certificate })).toMatchObject({ field: "apiserver-crt" });
    expect(failure({ ...cluster, "apiserver-key": own.key })).toMatchObject({ field: "apiserver-key" });
    const pair = { ...cluster, "apiserver-crt": own.certificate };
    expect(failure({ ...pair, "apiserver-key": other })).toMatchObject({ field: "apiserver-key" });
    expect(failure({ ...cluster, "ca-key": other })).toMatchObject({ field: "ca-key" });
    expect(failure({ ...pair, "apiserver-key": "no key" })).toMatchObject({ field: "apiserver-key" });
    expect(failure({ "ca-crt": "nonsense" })).toMatchObject({ field: "ca-crt" });
    expect(failure({ "ca-crt": "x".repeat(70_000) }).message).toContain("longer than");
    expect(failure({ "service-account-key": "x" })).toMatchObject({ field: "service-account-key" });
  });

  test("keys that components would refuse later are refused at once", () => {
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
    const ed25519 = generateKeyPairSync("ed25519").privateKey;
    const encrypted = generateKey().export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" });
    const of = (pem: string): string => failure({ "service-account-key": pem }).message;
    expect(of(privateKeyPem(weak))).toContain("2048 bits");
    expect(of(privateKeyPem(ed25519))).toContain("Ed25519");
    expect(of(encrypted.toString())).toContain("encrypted");
  });

  test("an authority must be one, and be valid", () => {
    const own = leaf({});
    expect(failure({ "ca-crt": own.certificate, "ca-key": own.key }).message).toContain("may not sign certificates");
    const old = anAuthority(generateKey(), hour);
    const later = { now: new Date(now.getTime() + 2 * hour) };
    expect(failure(old, later)).toMatchObject({ field: "ca-crt" });
    expect(failure(old, later).message).toContain("expired at");
  });

  test("a node that joins must be given the authorities", () => {
    expect(failure({}, { createAuthorities: false })).toMatchObject({ kind: "invalid", field: "ca-crt" });
  });

  test("an intermediate authority may come with the certificate", () => {
    const root = anAuthority();
    const key = generateKey();
    const issuer = {
      certificate: new X509Certificate(root["ca-crt"] ?? ""),
      privateKey: createPrivateKey(root["ca-key"] ?? ""),
    };
    const base = { now, lifetimeMs: lifetimes.leaf };
    const middle = issueCertificate(
      { ...base, subject: { commonName: "middle" }, names: noNames, publicKey: publicKeyOf(key), usages: "authority" },
      issuer,
    );
    const own = generateKey();
    const end = issueCertificate(
      {
        ...base,
        subject: { commonName: "x" },
        names: altNames(["kubernetes"], ["127.0.0.1"]),
        publicKey: publicKeyOf(own),
        usages: ["server"],
      },
      { certificate: new X509Certificate(middle), privateKey: key },
    );
    const supplied = { ...root, "apiserver-crt": end + middle, "apiserver-key": privateKeyPem(own) };
    expect(completePki(supplied, aNode(), options()).pairs.apiserver?.certificate).toBe(end + middle);
    expect(failure({ ...supplied, "apiserver-crt": end })).toMatchObject({ field: "apiserver-crt" });
  });
});

describe("an external datastore", () => {
  const external = { datastore: "external" } as const;
  const client = leaf({ authority: "etcd-ca", usages: ["client"] });
  const supplied = {
    "datastore-ca-crt": cluster["etcd-ca-crt"],
    "datastore-client-crt": client.certificate,
    "datastore-client-key": client.key,
  };

  test("brings its certificates, and none of a managed datastore are made", () => {
    const completed = completePki(supplied, aNode(), options(external));
    const etcd = completed.files
      .map((file) => file.path)
      .filter((path) => path.includes("etcd") || path.includes("datastore"));
    expect(etcd).toEqual(["ca.crt", "client.crt", "client.key"].map((file) => `/etc/kubernetes/pki/etcd/${file}`));
  });

  test("needs certificate and key together, and matching", () => {
    const error = failure({ ...supplied, "datastore-client-key": "" }, external);
    expect(error.message).toContain("external datastore certificate set without a key");
    expect(failure({ ...supplied, "datastore-client-crt": "" }, external)).toMatchObject({
      field: "datastore-client-key",
    });
    const other = privateKeyPem(generateKey());
    expect(failure({ ...supplied, "datastore-client-key": other }, external)).toMatchObject({
      field: "datastore-client-key",
    });
  });
});
