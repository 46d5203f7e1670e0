import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { AppError } from "../../../src/lib/app-error.ts";
import { backdateMs, issueCertificate, selfSign, type Usage } from "../../../src/pki/certificate.ts";
import { certificateRow } from "../../../src/pki/certificate-table.ts";
import { completePki } from "../../../src/pki/complete.ts";
import { generateKey, privateKeyPem, publicKeyOf } from "../../../src/pki/keys.ts";
import { lifetimes } from "../../../src/pki/lifetimes.ts";
import { altNames, noNames } from "../../../src/pki/names.ts";
import type { PemPair, SuppliedPki } from "../../../src/pki/supplied.ts";
import { namesOf } from "../../../src/pki/x509.ts";
import { aNode, now, options } from "./support.ts";

const bootstrap = completePki({}, aNode(), options());
const { cluster } = bootstrap;
const hour = 3_600_000;

interface Leaf {
  readonly commonName?: string;
  readonly organization?: string;
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
  readonly usages?: readonly Usage[];
  readonly authority?: "ca" | "client-ca" | "front-proxy-ca" | "etcd-ca";
  readonly at?: Date;
  readonly lifetimeMs?: number;
}

/** A certificate as a user's own authority would issue it. */
function leaf(o: Leaf): PemPair {
  const privateKey = generateKey();
  const authority = o.authority ?? "ca";
  const certificate = issueCertificate(
    {
      subject: {
        commonName: o.commonName ?? "x",
        ...(o.organization === undefined ? {} : { organization: o.organization }),
      },
      names: altNames(o.dns ?? [], o.ip ?? []),
      publicKey: publicKeyOf(privateKey),
      usages: o.usages ?? ["server"],
      lifetimeMs: o.lifetimeMs ?? lifetimes.leaf,
      now: o.at ?? now,
    },
    {
      certificate: new X509Certificate(cluster[`${authority}-crt`] ?? ""),
      privateKey: createPrivateKey(cluster[`${authority}-key`] ?? ""),
    },
  );
  return { certificate, key: privateKeyPem(privateKey) };
}

function failure(supplied: SuppliedPki, changes = {}): AppError {
  try {
    completePki(supplied, aNode(), options(changes));
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error("completePki accepted what it should refuse");
}

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

function anAuthority(privateKey = generateKey(), lifetimeMs: number = lifetimes.authority): SuppliedPki {
  const pem = privateKeyPem(privateKey);
  const certificate = selfSign(
    { subject: { commonName: "own" }, names: noNames, usages: "authority", lifetimeMs, now },
    privateKey,
  );
  return { "ca-crt": certificate, "ca-key": pem };
}

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

test("every certificate is for one side only, but those of etcd's members", () => {
  const both = Object.keys(bootstrap.pairs).filter((name) => {
    const usages = new X509Certificate(bootstrap.pairs[name as keyof typeof bootstrap.pairs]?.certificate ?? "")
      .keyUsage;
    return usages.length > 1;
  });
  expect(both).toEqual(["etcd-server", "etcd-peer"]);
  expect(certificateRow("apiserver").usages).toEqual(["server"]);
});
