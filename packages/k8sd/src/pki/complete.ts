import type { KeyObject, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { AppError } from "../lib/app-error.ts";
import type { WantedFile } from "../lib/write-file.ts";
import { type AuthorityName, type AuthorityRow, authorityTable } from "./authority-table.ts";
import { type Authority, issueCertificate, selfSign } from "./certificate.ts";
import { type CertificateRow, certificateTable, type KubeconfigFile, type PairName } from "./certificate-table.ts";
import { generateKey, privateKeyPem, publicKeyOf, readPrivateKey } from "./keys.ts";
import { lifetimes } from "./lifetimes.ts";
import { noNames } from "./names.ts";
import type { NodeIdentity, NodeRole } from "./node-identity.ts";
import {
  checkExternalDatastore,
  checkPair,
  type PemPair,
  type PkiKey,
  readAuthority,
  type SuppliedPki,
} from "./supplied.ts";
import { invalidCertificate, missingUsage } from "./verify.ts";
import { readCertificates } from "./x509.ts";

export interface PkiOptions {
  readonly role: NodeRole;
  /** "managed": we run the datastore and its certificates (embedded or etcd). */
  readonly datastore: "managed" | "external";
  /** Only a bootstrap makes authorities and the service-account key; everybody else is given them. */
  readonly createAuthorities: boolean;
  /** Leaves ca.key and client-ca.key where kube-controller-manager can sign certificate requests with them. */
  readonly signingKeysOnDisk: boolean;
  readonly paths: { readonly pki: string; readonly state: string };
  readonly now: Date;
}

export interface KubeconfigCredentials extends PemPair {
  readonly file: KubeconfigFile;
  readonly certificateAuthority: string;
}

export interface CompletedPki {
  /** Everything below the PKI and state directories, all 0600, in a fixed order. */
  readonly files: readonly WantedFile[];
  readonly kubeconfigs: readonly KubeconfigCredentials[];
  readonly pairs: { readonly [Name in PairName]?: PemPair };
  /** Secrets of the whole cluster: kept sealed by the cluster, and given to `completePki` again on nodes that join. */
  readonly cluster: SuppliedPki;
}

interface KnownAuthority {
  readonly row: AuthorityRow;
  readonly pem: string;
  readonly trusted: readonly X509Certificate[];
  /** undefined: an external authority, its key is held elsewhere. */
  readonly signer: (Authority & { readonly keyPem: string }) | undefined;
}

/**
 * Completes what the user supplied to the whole set of a node. Checks everything before anything is made or returned;
 * writes nothing.
 */
export function completePki(supplied: SuppliedPki, node: NodeIdentity, options: PkiOptions): CompletedPki {
  const external = options.datastore === "external" && options.role === "control-plane";
  const applies = (row: { readonly roles: readonly NodeRole[]; readonly managedDatastoreOnly?: boolean }): boolean =>
    row.roles.includes(options.role) && !(external && row.managedDatastoreOnly === true);
  const rows = certificateTable.filter(applies);

  const authorities = new Map<AuthorityName, KnownAuthority>();
  for (const row of authorityTable.filter(applies))
    authorities.set(row.name, completeAuthority(row, supplied, options));
  const serviceAccountKey = options.role === "worker" ? undefined : completeServiceAccountKey(supplied, options);
  if (external) checkExternalDatastore(supplied, options.now);

  const given = new Map<PairName, PemPair>();
  for (const row of rows) {
    const trusted = row.issuer === "self" ? undefined : authorities.get(row.issuer)?.trusted;
    const pair = checkPair(row, supplied, { node, trusted, now: options.now });
    if (pair !== undefined) given.set(row.name, pair);
  }
  for (const row of rows) {
    if (!given.has(row.name)) requireIssuer(row, authorities, given, options);
  }

  const pairs: { [Name in PairName]?: PemPair } = {};
  for (const row of rows) pairs[row.name] = given.get(row.name) ?? makePair(row, node, authorities, given, options);
  return assemble(
    { rows, authorities: [...authorities.values()], pairs, serviceAccountKey, supplied, external },
    options,
  );
}

function completeAuthority(row: AuthorityRow, supplied: SuppliedPki, options: PkiOptions): KnownAuthority {
  const read = readAuthority(row, supplied, options.now);
  if (read !== undefined) return { row, ...read };
  if (!options.createAuthorities) {
    throw new AppError("invalid", `cannot complete the certificates: ${row.title} not specified`, {
      field: `${row.name}-crt`,
      remedy: "A node that joins needs the authorities of its cluster.",
    });
  }
  const privateKey = generateKey();
  const template = { subject: { commonName: row.commonName }, names: noNames, usages: "authority" } as const;
  const pem = selfSign({ ...template, lifetimeMs: lifetimes.authority, now: options.now }, privateKey);
  const made = readAuthority(
    row,
    { [`${row.name}-crt`]: pem, [`${row.name}-key`]: privateKeyPem(privateKey) },
    options.now,
  );
  if (made === undefined) throw new Error(`${row.name} was made and cannot be read`);
  return { row, ...made };
}

/** kube-apiserver signs tokens with RSA and EC keys only. */
function completeServiceAccountKey(supplied: SuppliedPki, options: PkiOptions): string {
  const field = "service-account-key";
  const pem = supplied[field] ?? "";
  if (pem === "") {
    if (options.createAuthorities) return privateKeyPem(generateKey());
    throw new AppError("invalid", `cannot complete the certificates: ${field} not specified`, { field });
  }
  const key: KeyObject = readPrivateKey(pem, field);
  if (key.asymmetricKeyType === "ed25519") {
    throw new AppError("invalid", `cannot use ${field}: kube-apiserver does not sign with Ed25519 keys`, {
      field,
      remedy: "Give an EC (P-256, P-384, P-521) or RSA key.",
    });
  }
  return privateKeyPem(key);
}

function requireIssuer(
  row: CertificateRow,
  authorities: ReadonlyMap<AuthorityName, KnownAuthority>,
  given: ReadonlyMap<PairName, PemPair>,
  options: PkiOptions,
): void {
  if (row.issuer === "self") {
    if (row.scope === "node" || options.createAuthorities) return;
    throw new AppError("invalid", `cannot complete the certificates: ${row.title} certificate not specified`, {
      field: `${row.name}-crt`,
    });
  }
  const authority = authorities.get(row.issuer);
  if (authority?.signer !== undefined) return;
  const substitute = row.substitute === undefined ? undefined : given.get(row.substitute);
  if (row.substitute !== undefined && substitute !== undefined) {
    requireUsages(row, row.substitute, substitute);
    return;
  }
  const title = authority?.row.title ?? row.issuer;
  throw new AppError(
    "invalid",
    `cannot complete the certificates: using an external ${title} without providing the ${row.title} certificate is not possible`,
    {
      field: `${row.name}-crt`,
      remedy: `Supply ${row.name}-crt and ${row.name}-key, or supply ${row.issuer}-key too.`,
    },
  );
}

function requireUsages(row: CertificateRow, name: PairName, substitute: PemPair): void {
  const field = `${name}-crt`;
  const usage = missingUsage(readCertificates(substitute.certificate, field)[0], row.usages);
  if (usage === undefined) return;
  const reason = `its extended key usage does not allow ${usage}Auth, and ${row.issuer}-key is not there to make the ${row.title} certificate`;
  throw invalidCertificate(field, name, reason, `Supply ${field} with ${usage}Auth too, or supply ${row.issuer}-key.`);
}

function makePair(
  row: CertificateRow,
  node: NodeIdentity,
  authorities: ReadonlyMap<AuthorityName, KnownAuthority>,
  given: ReadonlyMap<PairName, PemPair>,
  options: PkiOptions,
): PemPair {
  const signer = row.issuer === "self" ? undefined : authorities.get(row.issuer)?.signer;
  const substitute = row.substitute === undefined ? undefined : given.get(row.substitute);
  if (signer === undefined && substitute !== undefined) return substitute;
  const privateKey = generateKey();
  const template = {
    subject: row.subject(node),
    names: row.names(node, options.role),
    usages: row.usages,
    now: options.now,
  };
  const certificate =
    signer === undefined
      ? selfSign({ ...template, lifetimeMs: lifetimes.authority }, privateKey)
      : issueCertificate({ ...template, publicKey: publicKeyOf(privateKey), lifetimeMs: lifetimes.leaf }, signer);
  return { certificate, key: privateKeyPem(privateKey) };
}

interface Parts {
  readonly rows: readonly CertificateRow[];
  readonly authorities: readonly KnownAuthority[];
  readonly pairs: { readonly [Name in PairName]?: PemPair };
  readonly serviceAccountKey: string | undefined;
  readonly supplied: SuppliedPki;
  readonly external: boolean;
}

function assemble(parts: Parts, options: PkiOptions): CompletedPki {
  const files: WantedFile[] = [];
  const kubeconfigs: KubeconfigCredentials[] = [];
  const cluster: { [Key in PkiKey]?: string } = {};
  const controlPlane = options.role === "control-plane";
  const add = (root: "pki" | "state", name: string, content: string): void => {
    files.push({ path: join(options.paths[root], name), content, mode: 0o600 });
  };

  for (const { row, pem, signer } of parts.authorities) {
    add("pki", `${row.file}.crt`, pem);
    cluster[`${row.name}-crt`] = pem;
    if (signer === undefined || !controlPlane) continue;
    cluster[`${row.name}-key`] = signer.keyPem;
    if (row.kubernetesSigner && options.signingKeysOnDisk) add("pki", `${row.file}.key`, signer.keyPem);
  }
  const certificateAuthority = cluster["ca-crt"] ?? "";
  for (const row of parts.rows) {
    const pair = parts.pairs[row.name];
    if (pair === undefined) continue;
    if (row.home.in === "kubeconfig") kubeconfigs.push({ file: row.home.file, certificateAuthority, ...pair });
    else {
      add(row.home.in, `${row.home.file}.crt`, pair.certificate);
      add(row.home.in, `${row.home.file}.key`, pair.key);
    }
    if (row.scope === "node") continue;
    cluster[`${row.name}-crt`] = pair.certificate;
    cluster[`${row.name}-key`] = pair.key;
  }
  if (parts.serviceAccountKey !== undefined) {
    add("pki", "serviceaccount.key", parts.serviceAccountKey);
    cluster["service-account-key"] = parts.serviceAccountKey;
  }
  for (const [key, file] of parts.external ? externalFiles : []) {
    const pem = parts.supplied[key] ?? "";
    if (pem === "") continue;
    add("pki", file, pem);
    cluster[key] = pem;
  }
  return { files, kubeconfigs, pairs: parts.pairs, cluster };
}

const externalFiles = [
  ["datastore-ca-crt", "etcd/ca.crt"],
  ["datastore-client-crt", "etcd/client.crt"],
  ["datastore-client-key", "etcd/client.key"],
] as const satisfies readonly (readonly [PkiKey, string])[];
