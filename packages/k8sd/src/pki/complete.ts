import { join } from "node:path";
import type { WantedFile } from "../lib/write-file.ts";
import type { AuthorityName, AuthorityRow } from "./authority-table.ts";
import { createAuthority, type Issuer, issueFrom, issuerOf, selfSign } from "./certificate.ts";
import type { KubeconfigFile, PairName } from "./certificate-table.ts";
import { type CheckedAuthority, type CheckedPair, type CheckedPki, type CheckOptions, checkSupplied } from "./check.ts";
import { generateKey, privateKeyPem, publicKeyOf } from "./keys.ts";
import { lifetimes } from "./lifetimes.ts";
import { noNames } from "./names.ts";
import type { NodeIdentity } from "./node-identity.ts";
import type { PemPair, PkiKey, SuppliedPki } from "./supplied.ts";

export interface PkiOptions extends CheckOptions {
  /** Leaves ca.key and client-ca.key where kube-controller-manager can sign certificate requests with them. */
  readonly signingKeysOnDisk: boolean;
  readonly paths: { readonly pki: string; readonly state: string };
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
  /** Absent for an external authority: its key is held elsewhere. */
  readonly signer: { readonly issuer: Issuer; readonly keyPem: string } | undefined;
}

/**
 * Completes what the user supplied to the whole set of a node. Checks everything before anything is made or returned;
 * writes nothing.
 */
export function completePki(supplied: SuppliedPki, node: NodeIdentity, options: PkiOptions): CompletedPki {
  const checked = checkSupplied(supplied, node, options);
  const authorities = checked.authorities.map((authority) => completeAuthority(authority, options.now));
  const issuers = new Map(authorities.map(({ row, signer }) => [row.name, signer?.issuer]));
  const pairs = checked.pairs.map((pair) => ({ row: pair.row, pair: completePair(pair, issuers, options.now) }));
  return assemble(checked, authorities, pairs, options);
}

function completeAuthority({ row, given }: CheckedAuthority, now: Date): KnownAuthority {
  if (given !== undefined) {
    const { pem, signer } = given;
    return { row, pem, signer: signer && { issuer: issuerOf(signer), keyPem: signer.keyPem } };
  }
  const privateKey = generateKey();
  const template = { subject: { commonName: row.commonName }, names: noNames, usages: "authority" } as const;
  const { pem, issuer } = createAuthority({ ...template, lifetimeMs: lifetimes.authority, now }, privateKey);
  return { row, pem, signer: { issuer, keyPem: privateKeyPem(privateKey) } };
}

function completePair(
  checked: CheckedPair,
  issuers: ReadonlyMap<AuthorityName, Issuer | undefined>,
  now: Date,
): PemPair {
  if ("given" in checked) return checked.given;
  const { row, wanted } = checked;
  const issuer = row.issuer === "self" ? undefined : issuers.get(row.issuer);
  const privateKey = generateKey();
  const template = { ...wanted, usages: row.usages, now };
  const certificate =
    issuer === undefined
      ? selfSign({ ...template, lifetimeMs: lifetimes.authority }, privateKey)
      : issueFrom({ ...template, publicKey: publicKeyOf(privateKey), lifetimeMs: lifetimes.leaf }, issuer);
  return { certificate, key: privateKeyPem(privateKey) };
}

type CompletePair = Pick<CheckedPair, "row"> & { readonly pair: PemPair };

function assemble(
  checked: CheckedPki,
  authorities: readonly KnownAuthority[],
  complete: readonly CompletePair[],
  options: PkiOptions,
): CompletedPki {
  const files: WantedFile[] = [];
  const kubeconfigs: KubeconfigCredentials[] = [];
  const pairs: { [Name in PairName]?: PemPair } = {};
  const cluster: { [Key in PkiKey]?: string } = {};
  const controlPlane = options.role === "control-plane";
  const add = (root: "pki" | "state", name: string, content: string): void => {
    files.push({ path: join(options.paths[root], name), content, mode: 0o600 });
  };

  for (const { row, pem, signer } of authorities) {
    add("pki", `${row.file}.crt`, pem);
    cluster[`${row.name}-crt`] = pem;
    if (signer === undefined || !controlPlane) continue;
    cluster[`${row.name}-key`] = signer.keyPem;
    if (row.kubernetesSigner && options.signingKeysOnDisk) add("pki", `${row.file}.key`, signer.keyPem);
  }
  const certificateAuthority = cluster["ca-crt"] ?? "";
  for (const { row, pair } of complete) {
    pairs[row.name] = pair;
    if (row.home.in === "kubeconfig") kubeconfigs.push({ file: row.home.file, certificateAuthority, ...pair });
    else {
      add(row.home.in, `${row.home.file}.crt`, pair.certificate);
      add(row.home.in, `${row.home.file}.key`, pair.key);
    }
    if (row.scope === "node") continue;
    cluster[`${row.name}-crt`] = pair.certificate;
    cluster[`${row.name}-key`] = pair.key;
  }
  if (controlPlane) {
    const key = checked.serviceAccountKey ?? privateKeyPem(generateKey());
    add("pki", "serviceaccount.key", key);
    cluster["service-account-key"] = key;
  }
  const url = checked.supplied["datastore-url"] ?? "";
  if (controlPlane && url !== "") {
    add("state", "datastore-url", url);
    cluster["datastore-url"] = url;
  }
  for (const [key, file] of checked.external ? externalFiles : []) {
    const pem = checked.supplied[key] ?? "";
    if (pem === "") continue;
    add("pki", file, pem);
    cluster[key] = pem;
  }
  return { files, kubeconfigs, pairs, cluster };
}

const externalFiles = [
  ["datastore-ca-crt", "etcd/ca.crt"],
  ["datastore-client-crt", "etcd/client.crt"],
  ["datastore-client-key", "etcd/client.key"],
] as const satisfies readonly (readonly [PkiKey, string])[];
