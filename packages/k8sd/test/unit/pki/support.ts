import type { NodeIdentity } from "../../../src/pki/certificate-table.ts";
import type { PkiOptions } from "../../../src/pki/complete.ts";

/** Real time: openssl and TLS verify against their own clock. */
export const now = new Date();

export function aNode(changes: Partial<NodeIdentity> = {}): NodeIdentity {
  return {
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
