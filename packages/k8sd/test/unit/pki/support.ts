import { createPrivateKey, X509Certificate } from "node:crypto";
import { AppError } from "../../../src/lib/app-error.ts";
import { issueCertificate, selfSign, type Usage } from "../../../src/pki/certificate.ts";
import { completePki, type PkiOptions } from "../../../src/pki/complete.ts";
import { generateKey, privateKeyPem, publicKeyOf } from "../../../src/pki/keys.ts";
import { lifetimes } from "../../../src/pki/lifetimes.ts";
import { altNames, noNames } from "../../../src/pki/names.ts";
import type { NodeIdentity } from "../../../src/pki/node-identity.ts";
import type { PemPair, SuppliedPki } from "../../../src/pki/supplied.ts";

/** Real time: openssl and TLS verify against their own clock. */
export const now = new Date();

export function aNode(changes: Partial<NodeIdentity> = {}): NodeIdentity {
  return {
    id: "0a1b2c3d-0000-8000-8000-000000000001",
    nodeName: "n1",
    hostName: "machine-1",
    addresses: ["10.0.0.5", "fd00::5", "fe80::1%eth0"],
    serviceIps: ["10.152.183.1"],
    clusterDomain: "corp.example",
    extraSans: ["api.example.com", "192.0.2.7"],
    ...changes,
  };
}

export function options(changes: Partial<PkiOptions> = {}): PkiOptions {
  return {
    role: "control-plane",
    datastore: "managed",
    createAuthorities: true,
    signingKeysOnDisk: true,
    paths: { pki: "/etc/kubernetes/pki", state: "/state" },
    now,
    ...changes,
  };
}

export const bootstrap = completePki({}, aNode(), options());
export const { cluster } = bootstrap;
export const hour = 3_600_000;

export interface Leaf {
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
export function leaf(o: Leaf): PemPair {
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

export function failure(supplied: SuppliedPki, changes = {}): AppError {
  try {
    completePki(supplied, aNode(), options(changes));
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error("completePki accepted what it should refuse");
}

export function anAuthority(privateKey = generateKey(), lifetimeMs: number = lifetimes.authority): SuppliedPki {
  const pem = privateKeyPem(privateKey);
  const certificate = selfSign(
    { subject: { commonName: "own" }, names: noNames, usages: "authority", lifetimeMs, now },
    privateKey,
  );
  return { "ca-crt": certificate, "ca-key": pem };
}
