import { join } from "node:path";
import { isLoopback } from "../components/address.ts";
import type { NodeView } from "../components/component.ts";
import { renderKubeconfig, serverUrl } from "../kube/kubeconfig.ts";
import type { WantedFile } from "../lib/write-file.ts";
import { checkSupplied } from "../pki/check.ts";
import { type CompletedPki, completePki, type PkiOptions } from "../pki/complete.ts";
import type { NodeIdentity } from "../pki/node-identity.ts";
import type { SuppliedPki } from "../pki/supplied.ts";
import type { BootstrapInput } from "./bootstrap/plan.ts";
import { firstServiceAddress } from "./config/subnets.ts";

/** The certificates of a node; of the first one of a cluster, authorities included. */
export function completeNodePki(input: BootstrapInput, supplied: SuppliedPki, now: Date): CompletedPki {
  return completePki(supplied, nodeIdentityOf(input), optionsOf(input, now));
}

/** Throws what `completeNodePki` would throw, without making anything. */
export function checkNodePki(input: BootstrapInput, supplied: SuppliedPki, now: Date): void {
  checkSupplied(supplied, nodeIdentityOf(input), optionsOf(input, now));
}

export function nodeIdentityOf({ nodeId, view, extraSans }: BootstrapInput): NodeIdentity {
  return {
    id: nodeId,
    nodeName: view.name,
    hostName: view.hostname,
    addresses: view.addresses.filter((address) => !isLoopback(address)),
    serviceIps: view.network.serviceCidrs.map(firstServiceAddress),
    clusterDomain: view.kubelet.clusterDomain,
    extraSans,
  };
}

function optionsOf({ view, via }: BootstrapInput, now: Date): PkiOptions {
  return {
    role: view.role,
    datastore: view.datastore.engine === "external" ? "external" : "managed",
    createAuthorities: via === undefined,
    signingKeysOnDisk: true,
    paths: { pki: view.paths.pki, state: view.paths.state },
    now,
  };
}

/** The kubeconfigs of the node's own programs; they talk to the API server of the node itself. */
export function kubeconfigFiles(view: NodeView, pki: CompletedPki): readonly WantedFile[] {
  return pki.kubeconfigs.map(({ file, certificateAuthority, certificate, key }) => ({
    path: join(view.paths.kubernetes, file),
    content: renderKubeconfig({
      server: serverUrl(view.loopback, view.securePort),
      certificateAuthority,
      certificate,
      key,
    }),
    mode: 0o600,
  }));
}
