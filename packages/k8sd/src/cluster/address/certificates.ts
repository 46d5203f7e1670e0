import { createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { WantedFile } from "../../lib/write-file.ts";
import { issueCertificate } from "../../pki/certificate.ts";
import { type CertificateRow, certificateTable } from "../../pki/certificate-table.ts";
import { createCsr } from "../../pki/csr.ts";
import { publicKeyOf, readPrivateKey } from "../../pki/keys.ts";
import { lifetimes } from "../../pki/lifetimes.ts";
import { noNames } from "../../pki/names.ts";
import type { SuppliedPki } from "../../pki/supplied.ts";
import { readCertificates } from "../../pki/x509.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { nodeIdentityOf } from "../node-pki.ts";

/** Certificates that carry the node's addresses, and are issued for it. */
const withAddresses: readonly string[] = ["apiserver", "kubelet", "etcd-server", "etcd-peer"];

export function addressRows({ view }: BootstrapInput): readonly CertificateRow[] {
  return certificateTable.filter(
    ({ name, roles, managedDatastoreOnly }) =>
      withAddresses.includes(name) &&
      roles.includes(view.role) &&
      !(managedDatastoreOnly && view.datastore.engine === "external"),
  );
}

export function certificateFile({ view }: BootstrapInput, row: CertificateRow, kind: "crt" | "key"): string {
  return join(row.home.in === "state" ? view.paths.state : view.paths.pki, `${row.home.file}.${kind}`);
}

export interface Renewed {
  readonly files: readonly WantedFile[];
  /** Titles of those that somebody else has to renew, because their authority's key is not here. */
  readonly foreign: readonly string[];
}

/** The same keys, signed for the addresses of `input` with the authorities that a control plane holds. */
export async function renewOwn(input: BootstrapInput, secrets: SuppliedPki, now: Date): Promise<Renewed> {
  const node = nodeIdentityOf(input);
  const files: WantedFile[] = [];
  const foreign: string[] = [];
  for (const row of addressRows(input)) {
    const issuer = row.issuer === "self" ? undefined : row.issuer;
    const certificate = issuer && secrets[`${issuer}-crt`];
    const key = issuer && secrets[`${issuer}-key`];
    if (!certificate || !key) {
      foreign.push(row.title);
      continue;
    }
    const keyFile = certificateFile(input, row, "key");
    const content = issueCertificate(
      {
        subject: row.subject(node),
        names: row.names(node, input.view.role),
        publicKey: publicKeyOf(readPrivateKey(await readFile(keyFile, "utf8"), keyFile)),
        usages: row.usages,
        lifetimeMs: lifetimes.leaf,
        now,
      },
      { certificate: readCertificates(certificate, `${issuer}-crt`)[0], privateKey: createPrivateKey(key) },
    );
    files.push({ path: certificateFile(input, row, "crt"), content, mode: 0o600 });
  }
  return { files, foreign };
}

/** A request for each of them, for a worker, which holds no authority. */
export async function requestsOf(input: BootstrapInput): Promise<Record<string, string>> {
  const node = nodeIdentityOf(input);
  const requests: Record<string, string> = {};
  for (const row of addressRows(input)) {
    const keyFile = certificateFile(input, row, "key");
    const key = readPrivateKey(await readFile(keyFile, "utf8"), keyFile);
    requests[row.name] = createCsr(row.subject(node), noNames, key);
  }
  return requests;
}
