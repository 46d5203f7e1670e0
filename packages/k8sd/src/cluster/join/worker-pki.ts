import { createPrivateKey } from "node:crypto";
import { AppError } from "../../lib/app-error.ts";
import { certificateRow, certificateTable } from "../../pki/certificate-table.ts";
import { signRequest } from "../../pki/sign-request.ts";
import type { PkiKey, SuppliedPki } from "../../pki/supplied.ts";
import { readCertificates } from "../../pki/x509.ts";
import type { ClusterConfig } from "../config/types.ts";
import type { Claim } from "../ledger-admission.ts";

/** Authorities without their keys, and a certificate for each request. The keys of the requests never left the worker. */
export function workerPki(
  all: SuppliedPki,
  claim: Claim,
  requests: Readonly<Record<string, string>>,
  config: ClusterConfig,
  at: number,
): SuppliedPki {
  const [address = ""] = claim.addresses;
  const node = {
    id: claim.nodeId,
    nodeName: claim.name,
    hostName: claim.name,
    addresses: claim.addresses,
    serviceIps: [],
    clusterDomain: config.kubelet["cluster-domain"] ?? "",
    extraSans: [],
  };
  const issued = Object.entries(requests).map(([name, csr]): [PkiKey, string] => {
    const row = certificateTable.find((candidate) => candidate.name === name);
    const issuer = row?.issuer ?? "self";
    if (row === undefined || issuer === "self") {
      throw new AppError("forbidden", `cannot sign a certificate ${JSON.stringify(name)} for ${claim.name}`);
    }
    const { [`${issuer}-crt` as const]: certificate = "", [`${issuer}-key` as const]: key = "" } = all;
    if (key === "") {
      throw new AppError(
        "conflict",
        `cannot sign the ${row.title} certificate of ${claim.name} (${address}): the cluster does not hold ${issuer}-key`,
        { remedy: `Give ${name}-crt and ${name}-key in the join configuration.` },
      );
    }
    const authority = {
      certificate: readCertificates(certificate, `${issuer}-crt`)[0],
      privateKey: createPrivateKey(key),
    };
    const pem = signRequest(certificateRow(row.name).name, csr, { node, role: "worker", authority, now: new Date(at) });
    return [`${row.name}-crt`, pem];
  });
  return { "ca-crt": all["ca-crt"], "client-ca-crt": all["client-ca-crt"], ...Object.fromEntries(issued) };
}
